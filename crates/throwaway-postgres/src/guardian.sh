# Owns one cluster. Makes its directory (a new one, or a copy of a running primary for its standby), starts and stops its
# server on the verbs it reads. When its standard input ends (its parent stopped, panicked or was killed) it removes the
# server and the directory. Signals and a closed output do not end it: it must clean up.
trap '' HUP INT TERM PIPE
exec 2>&1
bin=$1
max_connections=$2
settings=$3 # lines for postgresql.conf
primary=$4  # the port of the server to copy and follow; empty for a new cluster

children() {
    # The kernel's list needs no tool that a small container lacks; other systems have `ps`.
    cat "/proc/$server/task/$server/children" ||
        ps -A -o pid= -o ppid= | awk -v parent="$server" '$2 == parent { print $1 }'
} 2>/dev/null

pause() {
    kill -STOP "$server" # first, so that it starts no more children
    seen=
    # The kernel may skip a child while another one exits: ask until the answer stays the same.
    until now=$(children) && [ "$now" = "$seen" ]; do
        seen=$now
        kill -STOP $now
    done
} 2>/dev/null

resume() {
    kill -CONT $(children) "$server"
} 2>/dev/null

stop() {
    [ -n "$server" ] || return
    # As when the machine dies: first pause, so that no process runs another instruction.
    [ "$1" = KILL ] && pause && kill -KILL $(children) "$server" 2>/dev/null
    # Before it has its lock file the server may ignore all other signals, and has no children.
    [ -e "$dir/data/postmaster.pid" ] || kill -KILL "$server" 2>/dev/null
    kill -"$1" "$server" 2>/dev/null
    resume # a stopped process heeds no other signal
    wait
    server=
}

start() {
    # Every process of the server holds the log open, so its end means that the last one is gone.
    { cat "$dir/log"; echo "guardian: exited"; } &
    # No socket file: its path has a short length limit, and clients use TCP.
    {
        "$bin/postgres" -D "$dir/data" -p "$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c max_connections="$max_connections" >&3 2>&1 3>&- &
        server=$!
    } 3>"$dir/log"
}

# `--no-sync` skips the flush of the files written here; the server flushes as usual.
create() {
    if [ -z "$primary" ]; then
        "$bin/initdb" -D "$dir/data" -U postgres --auth=trust -E UTF8 --locale=C --no-sync &&
            printf '%s\n' "$settings" >>"$dir/data/postgresql.conf"
    else
        # Settings the primary got at run time are not for the standby, which has no standby of its own to wait for.
        "$bin/pg_basebackup" -D "$dir/data" -d "host=127.0.0.1 port=$primary user=postgres" -R -c fast --no-sync &&
            printf '%s\n' "synchronous_standby_names = ''" "$settings" >>"$dir/data/postgresql.auto.conf"
    fi
} </dev/null

server=
dir=$(mktemp -d "${TMPDIR:-/tmp}/throwaway-postgres.XXXXXX") || exit 1
if mkfifo "$dir/log" && create; then
    echo "guardian: directory $dir"
    while read -r verb argument; do
        case $verb in
        start) start "$argument" ;;
        stop) stop "$argument"; echo "guardian: done" ;;
        pause) pause; echo "guardian: done" ;;
        resume) resume; echo "guardian: done" ;;
        esac
    done
fi
stop QUIT
rm -rf "$dir"
