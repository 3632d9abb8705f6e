// Package nginx writes configurations for nginx: a stream block for load balancing, and an http block for reverse
// proxies.
package nginx

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"parley/internal/plan"
)

const preamble = `# Debian builds stream as a module of its own.
include /etc/nginx/modules-enabled/*.conf;
worker_processes auto;
events {
    worker_connections 65536;
}
`

// Balancer writes the stream block. Free nginx has no active health checks: it takes a member out after failed
// connections, where the plan asks for a look at another port.
func Balancer(p *plan.Plan) ([]plan.File, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `# Load balancing for %s. Written by parley plan lb.
# Members are taken out when connections to them fail. The plan asks for a health check on another port, which
# only a balancer with active checks can do.
%s
stream {
    proxy_connect_timeout 5s;
    # Clients keep silent connections.
    proxy_timeout %ds;
`, plan.Remark(p.Topology.Topology().Name, 80), preamble, plan.IdleTimeout)
	for _, v := range p.Virtuals() {
		if len(v.Addresses) == 0 {
			fmt.Fprintf(&b, "\n    # %s, row %s: the topology has no virtual address for %s.\n", v.Pool, v.Row, v.Name)
			continue
		}
		name := plan.Identifier(fmt.Sprintf("%s_%s_%d_%s", v.Pool, v.Name, v.Port, v.Transport()), "_")
		fmt.Fprintf(&b, "\n    # Row %s: %s of %s.\n    upstream %s {\n", v.Row, v.Name, v.Pool, name)
		if v.Persistence == "source" {
			b.WriteString("        hash $remote_addr consistent;\n")
		} else {
			b.WriteString("        least_conn;\n")
		}
		for _, h := range v.Members {
			for _, a := range h.Addresses {
				fmt.Fprintf(&b, "        server %s max_fails=3 fail_timeout=15s;\n", join(a.String(), v.NodePort))
			}
		}
		b.WriteString("    }\n    server {\n")
		udp := ""
		if v.Transport() == "udp" {
			udp = " udp"
		}
		for _, a := range v.Addresses {
			fmt.Fprintf(&b, "        listen %s%s;\n", join(a.String(), v.Port), udp)
		}
		if v.KeepSource() {
			b.WriteString("        # Servers must see the address of the client: their answers must come back through this machine.\n        proxy_bind $remote_addr transparent;\n")
		}
		fmt.Fprintf(&b, "        proxy_pass %s;\n    }\n", name)
	}
	b.WriteString("}\n")
	return []plan.File{{Name: "nginx-lb.conf", Data: []byte(b.String())}}, nil
}

// Proxy writes the http block of each reverse proxy. The certificate and its key lie beside the configuration.
func Proxy(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, x := range p.Publications() {
		var b strings.Builder
		fmt.Fprintf(&b, `# Reverse proxy %s. Written by parley plan proxy.
%s
http {
    server_tokens off;
    # Meeting content and address books are large; some requests wait for an event for minutes.
    client_max_body_size 512m;
    proxy_read_timeout 960s;
    proxy_http_version 1.1;
    # Servers tell by the name in the request what is asked for.
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $parley_connection;
    map $http_upgrade $parley_connection {
        default upgrade;
        ""      "";
    }

    ssl_certificate     %s-listener.crt;
    ssl_certificate_key %s-listener.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    # Names that nobody publishes get no answer.
    server {
        listen 80 default_server;
        listen 443 ssl default_server;
        return 444;
    }
`, x.Proxy, preamble, x.Proxy, x.Proxy)
		var upstreams []string
		for i, r := range x.Rules {
			name := plan.Identifier(string(r.Pool)+"_"+strconv.Itoa(int(r.HTTPS)), "_")
			if !slices.Contains(upstreams, name) {
				upstreams = append(upstreams, name)
				upstream(&b, name, r.Targets, r.HTTPS)
				if r.HTTP != 0 {
					upstream(&b, name+"_http", r.Targets, r.HTTP)
				}
			}
			fmt.Fprintf(&b, "\n    # Rule %d, rows %s.\n    server {\n        listen 443 ssl;\n        server_name %s;\n", i+1, strings.Join(r.Rows, " "), strings.Join(r.Names, " "))
			fmt.Fprintf(&b, "        location / {\n            proxy_pass https://%s;\n            proxy_ssl_server_name on;\n            proxy_ssl_name %s;\n            # proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.crt;\n        }\n    }\n", name, r.Pool)
			if r.HTTP != 0 {
				fmt.Fprintf(&b, "    server {\n        listen 80;\n        server_name %s;\n        location / {\n            proxy_pass http://%s_http;\n        }\n    }\n", strings.Join(r.Names, " "), name)
			}
		}
		b.WriteString("}\n")
		out = append(out, plan.File{Name: "nginx-" + string(x.Proxy) + ".conf", Data: []byte(b.String())})
	}
	return out, nil
}

func upstream(b *strings.Builder, name string, targets []plan.Host, port uint16) {
	fmt.Fprintf(b, "\n    upstream %s {\n", name)
	n := 0
	for _, h := range targets {
		for _, a := range h.Addresses {
			fmt.Fprintf(b, "        server %s;\n", join(a.String(), port))
			n++
		}
		if len(h.Addresses) == 0 {
			fmt.Fprintf(b, "        server %s; # by name: no address in the topology\n", join(h.Name, port))
			n++
		}
	}
	b.WriteString("    }\n")
}

func join(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
