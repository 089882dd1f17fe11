#!/usr/bin/env bash
# Runs all tests: `tests/run.sh`, or with anything that `cargo test` takes, such as
# `tests/run.sh --test api repeats -- --nocapture`.
#
# The tests need a PostgreSQL on which they may make databases. This script starts one of their own, on a
# free port of the loopback address and in a temporary folder, and removes it afterwards. On Debian it
# installs PostgreSQL when there is none. With WABRIDGE_TEST_POSTGRES set, that server is used instead.
# Temporary folders are in memory (/dev/shm) where four gigabytes of it are free, or in TMPDIR.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Where Debian keeps runuser.
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "tests/run.sh: $*" >&2; }
give_up() { say "$*"; exit 1; }

# The newest PostgreSQL whose programs are here; Debian keeps them out of the PATH.
find_postgres() {
    local folder
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
        "$(pg_config --bindir 2>/dev/null || true)" "$(dirname "$(command -v initdb 2>/dev/null || true)")"; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            printf '%s' "$folder"
            return
        fi
    done
}

# Debian packages, where this is Debian and we may.
install_packages() {
    local become=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || give_up "needed and not here: run  sudo apt-get install -y $*"
        become=(sudo -n)
    fi
    say "installing $*"
    "${become[@]}" apt-get update -q </dev/null >&2
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >&2
}

is_debian() { [ -f /etc/debian_version ] && command -v apt-get >/dev/null; }

install_postgres() {
    if ! is_debian; then
        give_up "PostgreSQL's server is needed and not here: install it (Fedora: dnf install postgresql-server;" \
            "macOS: brew install postgresql; Arch: pacman -S postgresql), or set WABRIDGE_TEST_POSTGRES to the URL" \
            "of one on which databases may be made, like postgres://user:password@127.0.0.1/postgres"
    fi
    install_packages postgresql
}

# Chromium and its driver, for the tests of the console.
install_chromium() {
    is_debian || give_up "Chromium and chromedriver are needed for the tests of the console: install them, and have chromedriver in the PATH"
    install_packages chromium chromium-driver
}

# PostgreSQL refuses to work for root.
as_server() {
    if [ "$(id -u)" != 0 ]; then
        "$@"
    else
        runuser -u "$(id -un postgres 2>/dev/null || echo nobody)" -- "$@"
    fi
}

start_postgres() {
    local password port
    folder=$(cd / && as_server mktemp -d "${TMPDIR:-/tmp}/wabridge-test.XXXXXX") ||
        give_up "could not make a temporary folder for PostgreSQL"
    trap stop_postgres EXIT
    trap 'exit 130' INT TERM
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s' "$password" | as_server tee "$folder/password" >/dev/null
    (cd / && as_server "$postgres/initdb" --pgdata="$folder/data" --username=wabridge --pwfile="$folder/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >/dev/null)
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 12000))
        # What is lost when the machine stops is only tests.
        if (cd / && as_server "$postgres/pg_ctl" start --pgdata="$folder/data" --log="$folder/log" --silent -w -o "\
            -c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='$folder' \
            -c max_connections=400 -c fsync=off -c full_page_writes=off -c log_min_messages=fatal" >/dev/null 2>&1); then
            export WABRIDGE_TEST_POSTGRES="postgres://wabridge:$password@127.0.0.1:$port/postgres"
            return
        fi
    done
    as_server cat "$folder/log" >&2 || true
    give_up "PostgreSQL did not start"
}

stop_postgres() {
    (cd / && as_server "$postgres/pg_ctl" stop --pgdata="$folder/data" --mode=immediate --silent >/dev/null 2>&1) || true
    (cd / && as_server rm -rf "$folder")
}

# The program that holds the API against its document, in a folder of its own.
install_schemathesis() {
    local python
    python=$(command -v python3) || give_up "Python 3 is needed and not here, for the test of the API's document"
    say "installing schemathesis into $1"
    "$python" -m venv "$1" 2>/dev/null || { is_debian && install_packages python3-venv && "$python" -m venv "$1"; } ||
        give_up "python3 -m venv does not work here; install schemathesis $schemathesis, or set WABRIDGE_SCHEMATHESIS to it"
    "$1/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$schemathesis" >&2 ||
        give_up "schemathesis $schemathesis could not be installed with pip"
}
schemathesis=4.32.5

command -v cargo >/dev/null || give_up "Rust is needed and not here: see https://rustup.rs"
# In memory where there is room: a busy disk that keeps one write waiting for seconds says nothing about the program.
memory=/dev/shm
if [ -z "${TMPDIR:-}" ] && [ -w $memory ] && [ "$(df -Pk $memory | awk 'NR == 2 { print $4 }')" -gt $((4 * 1024 * 1024)) ]; then
    export TMPDIR=$memory
fi
if [ -z "${WABRIDGE_TEST_POSTGRES:-}" ]; then
    postgres=$(find_postgres)
    if [ -z "$postgres" ]; then
        install_postgres
        postgres=$(find_postgres)
        [ -n "$postgres" ] || give_up "PostgreSQL was installed and yet initdb is not in /usr/lib/postgresql/*/bin"
    fi
    start_postgres
fi
# Whoever asks for other tests by name needs no browser.
case " $* " in
    *" --test "*) [[ " $* " == *" browser "* ]] && wants_browser=yes || wants_browser= ;;
    *) wants_browser=yes ;;
esac
if [ -n "$wants_browser" ] && ! command -v chromedriver >/dev/null; then
    install_chromium
fi
# It is a test among those of the API.
case " $* " in
    *" --test "*) [[ " $* " == *" api "* ]] && wants_schemathesis=yes || wants_schemathesis= ;;
    *" --lib "*) wants_schemathesis= ;;
    *) wants_schemathesis=yes ;;
esac
if [ -n "$wants_schemathesis" ] && [ -z "${WABRIDGE_SCHEMATHESIS:-}" ]; then
    tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/schemathesis-$schemathesis
    [ -x "$tools/bin/schemathesis" ] || install_schemathesis "$tools"
    export WABRIDGE_SCHEMATHESIS=$tools/bin/schemathesis
fi
cargo test --workspace "$@" </dev/null
# For whoever runs everything: a few faults with each carrier other than Meta, and the test of the fault checker, which needs a program
# that is broken, a build of its own.
if [ $# = 0 ]; then
    cargo test --test faults -- --provider commbox --database sqlite --rounds 1 kill peers </dev/null
    for provider in gallabox gotallo 360dialog; do
        cargo test --test faults -- --provider "$provider" --database sqlite --rounds 1 --fault peers </dev/null
    done
    cargo test --features broken-engine --test faults </dev/null
fi
