// Package haproxy writes a configuration for HAProxy 2.2 or later: one listen section for each virtual address and
// port, with the health checks and the persistence of the plan.
//
// Connections pass as they are, so that servers see the handshakes of their clients and the host names of requests;
// no certificate is needed on the balancer. The price is that web requests are balanced by connection.
package haproxy

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"parley/internal/plan"
)

// Balancer writes the configuration of the balancer.
func Balancer(p *plan.Plan) ([]plan.File, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `# Load balancing for %s. Written by parley plan lb.
global
    log /dev/log local0
    # How many connections: as many as the limit of open files allows, half of it. Raise that limit for large pools.

defaults
    mode tcp
    log global
    option tcplog
    option dontlognull
    timeout connect 5s
    # Clients keep silent connections.
    timeout client %ds
    timeout server %ds
    timeout check 5s
    balance leastconn
    # A member that has just stopped is not noticed yet: take another.
    retries 2
    option redispatch 1
    default-server inter 5s fall 3 rise 2 on-marked-down shutdown-sessions
`, plan.Remark(p.Topology.Topology().Name, 80), plan.IdleTimeout, plan.IdleTimeout)
	for _, v := range p.Virtuals() {
		if v.Transport() != "tcp" {
			fmt.Fprintf(&b, "\n# %s, row %s: UDP %d is not for HAProxy; nginx can balance it.\n", v.Pool, v.Row, v.Port)
			continue
		}
		if len(v.Addresses) == 0 {
			fmt.Fprintf(&b, "\n# %s, row %s: the topology has no virtual address for %s.\n", v.Pool, v.Row, v.Name)
			continue
		}
		fmt.Fprintf(&b, "\n# Row %s: %s of %s.\n", v.Row, v.Name, v.Pool)
		fmt.Fprintf(&b, "listen %s\n", plan.Identifier(fmt.Sprintf("%s-%s-%d", v.Pool, v.Name, v.Port), "-"))
		for _, a := range v.Addresses {
			fmt.Fprintf(&b, "    bind %s\n", join(a.String(), v.Port))
		}
		if v.Persistence == "source" {
			// A session lasts 20 minutes.
			b.WriteString("    stick-table type ip size 1m expire 20m\n    stick on src\n")
		}
		if v.KeepSource() {
			b.WriteString("    # Servers must see the address of the client: their answers must come back through this machine.\n    source 0.0.0.0 usesrc clientip\n")
		}
		for _, h := range v.Members {
			for i, a := range h.Addresses {
				name := h.Name
				if i > 0 {
					name += fmt.Sprint("-", i+1)
				}
				fmt.Fprintf(&b, "    server %s %s check port %d\n", name, join(a.String(), v.NodePort), v.Health)
			}
			if len(h.Addresses) == 0 {
				fmt.Fprintf(&b, "    # %s has no address in the topology.\n", h.Name)
			}
		}
	}
	return []plan.File{{Name: "haproxy.cfg", Data: []byte(b.String())}}, nil
}

func join(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
