#!/bin/bash
# Three machines made of namespaces, each with an SSH server, network, processes, /tmp and home of its own: what
# `ray up cluster/onprem.yaml` needs, on one host, for a test. Needs root.
#
#   hosts.sh tools DIR        unpack an SSH server and rsync below DIR, with apt-get's own download; installs nothing
#   hosts.sh up DIR PYTHON    start the machines 10.78.0.10 to .12; PYTHON's packages are on each of them
#   hosts.sh in N COMMAND...  run a command on machine N as its user
#   hosts.sh kill DIR N       end machine N at once, with all that runs on it; its home stays
#   hosts.sh start DIR N PYTHON   start it again
#   hosts.sh cut DIR N        cut machine N off: network and shared folder; what runs there goes on
#   hosts.sh mend DIR N       let it back
#   hosts.sh enter DIR N COMMAND...  run a command inside machine N, past its network
#   hosts.sh needs            say in one sentence what is missing, and leave with 2
#   hosts.sh down DIR         end them
#
# Each has a kernel's boot id of its own, and all share /srv, which is DIR/shared.
# Private process namespaces matter: `ray stop` ends every Ray that it can see.
set -euo pipefail

NETWORK=10.78.0
BRIDGE=spyhop-bridge
COUNT=3
PACKAGES="openssh-server openssh-sftp-server rsync libwrap0 libpopt0"

tools() {
    mkdir -p "$1/tools/bin" "$1/deb"
    (cd "$1/deb" && apt-get download -qq $PACKAGES 2>/dev/null && for each in *.deb; do dpkg -x "$each" ../tools; done)
    cat > "$1/tools/bin/rsync" <<'END'
#!/bin/sh
tools=$(dirname "$(dirname "$(readlink -f "$0")")")
LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu exec "$tools/usr/bin/rsync" "$@"
END
    chmod 755 "$1/tools/bin/rsync"
}

up() {
    local dir python number home
    dir=$(readlink -f "$1") python=$2
    case $python in
        /tmp/*)
            echo "each machine has a /tmp of its own, so $python must lie elsewhere" >&2
            exit 2
            ;;
    esac
    mkdir -p "$dir/shared"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/key" <<< y > /dev/null
    ip link add "$BRIDGE" type bridge
    ip addr add "$NETWORK.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    for number in $(seq 0 $((COUNT - 1))); do
        home=$dir/host$number/home/spyhop
        mkdir -p "$home/.ssh" "$home/spyhop" "$dir/host$number/tmp"
        cp "$dir/key.pub" "$home/.ssh/authorized_keys"
        echo 'export PATH=/mnt/bin:$PATH' > "$home/.bash_profile"
        ip netns add "spyhop$number"
        ip link add "spyhop-$number" type veth peer name eth0 netns "spyhop$number"
        ip link set "spyhop-$number" master "$BRIDGE" up
        ip -n "spyhop$number" addr add "$NETWORK.1$number/24" dev eth0
        ip -n "spyhop$number" link set eth0 up
        ip -n "spyhop$number" link set lo up
        # leads nowhere, but Ray asks it which address is its own
        ip -n "spyhop$number" route add default via "$NETWORK.1"
        boot "$dir" "$number" "$python"
    done
    for number in $(seq 0 $((COUNT - 1))); do
        answers "$dir" "$number"
    done
}

boot() {
    cat /proc/sys/kernel/random/uuid > "$1/host$2/boot_id"
    rm -rf "$1/host$2/tmp"
    mkdir "$1/host$2/tmp"
    setsid ip netns exec "spyhop$2" unshare --pid --mount --uts --ipc --fork --mount-proc \
        "$0" machine "$2" "$1" "$3" < /dev/null > "$1/host$2/log" 2>&1 &
    echo $! > "$1/host$2/pid"
}

answers() {
    for _ in $(seq 100); do
        ssh_to "$1" "$2" true 2> /dev/null && return
        sleep 0.2
    done
    echo "machine $2 does not answer, see $1/host$2/log" >&2
    exit 1
}

enter() {
    local dir=$1 number=$2
    shift 2
    nsenter --target "$(init_of "$dir" "$number")" --pid --mount --net --uts --ipc "$@"
}

needs() {
    local tool
    if [ "$(id -u)" != 0 ]; then
        echo "machines made of namespaces need root" >&2
        exit 2
    fi
    for tool in ip unshare nsenter apt-get dpkg ssh ssh-keygen pgrep; do
        command -v "$tool" > /dev/null && continue
        echo "machines made of namespaces need the command $tool" >&2
        exit 2
    done
    if ! unshare --net --pid --mount --fork true 2> /dev/null; then
        echo "this machine does not let even root make namespaces" >&2
        exit 2
    fi
}

init_of() {
    pgrep -P "$(cat "$1/host$2/pid")"
}

cut() {
    ip link set "spyhop-$2" down
    # what a file server across the same wire would be: paths lead nowhere
    nsenter --target "$(init_of "$1" "$2")" --mount --pid umount --lazy /srv
}

mend() {
    # the shared folder is not below what the machine sees any more, so it comes in from outside
    nsenter --target "$(init_of "$1" "$2")" --mount --pid mount --bind /mnt/.shared /srv
    ip link set "spyhop-$2" up
}

machine() {
    local number=$1 dir=$2 python=$3 packages
    hostname "spyhop$number"
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # before anything hides what lies below it
    mkdir -p "$dir/tools/.shared"
    mount --bind "$dir/tools" /mnt
    mount --bind "$dir/shared" /mnt/.shared
    mount --bind "$dir/shared" /srv
    mount --bind "$dir/host$number/boot_id" /proc/sys/kernel/random/boot_id
    mount --bind "$dir/host$number/home" /home
    # compiled once, not on each of them
    mkdir -p /home/spyhop/.cache/spyhop "$dir/kernels"
    mount --bind "$dir/kernels" /home/spyhop/.cache/spyhop
    mount -t tmpfs tmpfs /run
    mount -t tmpfs -o size=1g tmpfs /dev/shm
    mount --bind "$dir/host$number/tmp" /tmp
    mkdir -p /run/sshd
    # the user first: whoever asks for the name of number 0 is told this one
    { echo "spyhop:x:0:0::/home/spyhop:/bin/bash"; cat /etc/passwd; echo "sshd:x:74:65534::/run/sshd:/bin/false"; } > /run/passwd
    mount --bind /run/passwd /etc/passwd
    export HOME=/home/spyhop
    virtual_environment "$python" "$packages"
    ssh-keygen -q -t ed25519 -N '' -f /run/host_key
    LD_LIBRARY_PATH=/mnt/usr/lib/x86_64-linux-gnu /mnt/usr/sbin/sshd -D -e -f /dev/null -h /run/host_key \
        -o StrictModes=no -o UsePAM=no -o PidFile=none -o "SetEnv=PATH=/mnt/bin:/usr/local/bin:/usr/bin:/bin" &
    # stays, as the parent of what loses its own
    wait
}

virtual_environment() {
    # what set-up would fetch from a package index, which these machines do not reach
    local venv=$HOME/spyhop/venv name
    test ! -e "$venv" || return 0
    "$1" -m venv --without-pip "$venv"
    echo "$2" > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages.pth"
    printf '#!%s\nfrom ray.scripts.scripts import main\nmain()\n' "$venv/bin/python" > "$venv/bin/ray"
    printf '#!%s\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n' "$venv/bin/python" > "$venv/bin/pip"
    for name in ray pip; do chmod 755 "$venv/bin/$name"; done
}

ssh_to() {
    local dir=$1 number=$2
    shift 2
    ssh -i "$dir/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=2 \
        "spyhop@$NETWORK.1$number" "$@"
}

halt() {
    [ -e "$1/host$2/pid" ] && pkill -KILL -P "$(cat "$1/host$2/pid")" || true
}

down() {
    local number
    for number in $(seq 0 $((COUNT - 1))); do
        halt "$1" "$number"
        ip netns del "spyhop$number" 2> /dev/null || true
        # goes with its namespace, but that takes its time
        ip link del "spyhop-$number" 2> /dev/null || true
    done
    ip link del "$BRIDGE" 2> /dev/null || true
}

case $1 in
    tools) tools "$2" ;;
    up) up "$2" "$3" ;;
    machine) machine "$2" "$3" "$4" ;;
    in) shift; ssh_to "${HOSTS_DIR:?}" "$@" ;;
    kill) halt "$2" "$3" ;;
    enter) enter "${@:2}" ;;
    needs) needs ;;
    start) boot "$(readlink -f "$2")" "$3" "$4" && answers "$2" "$3" ;;
    cut) cut "$2" "$3" ;;
    mend) mend "$2" "$3" ;;
    down) down "$2" ;;
esac
