#!/bin/bash
# Three machines made of namespaces, each with an SSH server, network, processes, /tmp and home of its own: what
# `ray up cluster/onprem.yaml` needs, on one host, for a test. Needs root.
#
#   hosts.sh tools DIR        unpack an SSH server and rsync below DIR, with apt-get's own download; installs nothing
#   hosts.sh up DIR PYTHON    start the machines 10.78.0.10 to .12; PYTHON's packages are on each of them
#   hosts.sh in N COMMAND...  run a command on machine N as its user
#   hosts.sh down DIR         end them
#
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
        setsid ip netns exec "spyhop$number" unshare --pid --mount --uts --ipc --fork --mount-proc \
            "$0" machine "$number" "$dir" "$python" < /dev/null > "$dir/host$number/log" 2>&1 &
        echo $! > "$dir/host$number/pid"
    done
    for number in $(seq 0 $((COUNT - 1))); do
        for _ in $(seq 100); do
            ssh_to "$dir" "$number" true 2> /dev/null && continue 2
            sleep 0.2
        done
        echo "machine $number does not answer, see $dir/host$number/log" >&2
        exit 1
    done
}

machine() {
    local number=$1 dir=$2 python=$3 packages
    hostname "spyhop$number"
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mount --bind "$dir/tools" /mnt
    mount --bind "$dir/host$number/home" /home
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

down() {
    local number
    for number in $(seq 0 $((COUNT - 1))); do
        [ -e "$1/host$number/pid" ] && pkill -KILL -P "$(cat "$1/host$number/pid")" || true
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
    down) down "$2" ;;
esac
