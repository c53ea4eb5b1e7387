# Two machines in network namespaces, joined by a veth pair; sourced. Needs root and OpenMPI.
#
# on_hosts N COMMAND…: it, as N ranks on both by turns. link up|down: their link. limit RATE: its speed both ways, as
# in 1gbit. hosts_down: takes all away.
hosts=("karenina-$$-a" "karenina-$$-b")
addresses=(10.77.0.1 10.77.0.2)

hosts_down() {
    local host
    for host in "${hosts[@]}"; do
        ip netns pids "$host" 2> /dev/null | xargs -r kill -9 2> /dev/null || true # what a cut link has orphaned
        ip netns del "$host" 2> /dev/null || true
    done
}

hosts_up() {
    local i
    for i in 0 1; do ip netns add "${hosts[i]}" || return; done
    ip link add eth0 netns "${hosts[0]}" type veth peer name eth0 netns "${hosts[1]}" || return
    for i in 0 1; do
        ip -n "${hosts[i]}" addr add "${addresses[i]}/24" dev eth0
        ip -n "${hosts[i]}" link set eth0 up
        ip -n "${hosts[i]}" link set lo up
    done
}

link() { ip -n "${hosts[0]}" link set eth0 "$1"; }

limit() {
    local i
    for i in 0 1; do
        tc -n "${hosts[i]}" qdisc replace dev eth0 root tbf rate "$1" burst 256kb latency 50ms
    done
}

# What mpirun takes for ssh: HOST COMMAND…
cat > "$work/agent" << EOF
#!/bin/sh
case \$1 in ${addresses[0]}) host=${hosts[0]} ;; *) host=${hosts[1]} ;; esac
shift
exec ip netns exec \$host unshare --uts sh -c "hostname \$host; \$*"
EOF
chmod +x "$work/agent"

on_hosts() {
    ip netns exec "${hosts[0]}" unshare --uts sh -c "hostname ${hosts[0]}; exec \"\$@\"" sh \
        timeout -k 5 "${seconds:-120}" "$MPIRUN" "${options[@]}" --mca plm_rsh_agent "$work/agent" \
        --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
        --host "${addresses[0]}:8,${addresses[1]}:8" --map-by node -n "$@" < /dev/null
}

trap 'hosts_down; jobs -p | xargs -r kill -9 2>/dev/null || true; rm -rf "$work"' EXIT
command -v ip > /dev/null && hosts_up 2> /dev/null
