"""Stands the system up and takes it down; owns the one command line, `spyhop`.

Ray reads its environment when it is imported, so what it must be told stands here, before any import of it: workers
are not niced (Ray's default is 15), and authentication is by token, whatever lies in $HOME. What the operator has set
goes before.
"""

import os

RAY_ENVIRONMENT = {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

for _name, _setting in RAY_ENVIRONMENT.items():
    os.environ.setdefault(_name, _setting)
