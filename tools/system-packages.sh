#!/bin/sh
# Which system packages are missing? Installs them through apt where it may, otherwise prints the command and fails.
# With --python: print the Python 3.11 to make the virtual environment with. With --tests: what the tests need as well.
set -eu

# python3 may be a shim or another version; a Python without ensurepip (Debian's bare one) cannot make an environment.
find_python() {
    for candidate in "${PYTHON:-}" /usr/bin/python3.11 python3.11 python3; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

has_java() {
    version=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}

if [ "${1:-}" = --python ]; then
    find_python
    exit
fi

missing=
find_python >/dev/null || missing="$missing python3.11-venv"
has_java || missing="$missing openjdk-17-jdk-headless"
command -v mvn >/dev/null || missing="$missing maven"
command -v redis-server >/dev/null || missing="$missing redis-server"
if [ "${1:-}" = --tests ]; then
    # The screen is looked at in a real browser, in Chinese too.
    command -v chromium >/dev/null || missing="$missing chromium"
    [ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || missing="$missing fonts-noto-cjk"
fi
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root=sudo
else
    echo "System packages are missing. Install them with this command, then call make again:" >&2
    echo "  sudo $install" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "This system has no apt. Install what these Debian packages hold, then call make again:$missing" >&2
    exit 1
fi

echo "Installing system packages through apt:$missing"
# Debian starts a Redis of its own when it installs one. Ours run on ports of their own, so that one is not wanted:
# a policy that forbids starting services holds for the time of the installation.
policy=/usr/sbin/policy-rc.d
forbidden=
if [ ! -e $policy ]; then
    forbidden=yes
    printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
    $root chmod 755 $policy
    trap '$root rm -f $policy' EXIT
fi
log=$(mktemp)
if ! { $root apt-get update && $root env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "apt failed; its whole output is in $log. The command was: $install" >&2
    exit 1
fi
rm -f "$log"
case $missing in
*redis-server*)
    # Nor at the next boot.
    if [ "$forbidden" ] && command -v systemctl >/dev/null; then
        $root systemctl disable --quiet redis-server || echo "Debian's own redis-server starts at the next boot." >&2
    fi
    ;;
esac
