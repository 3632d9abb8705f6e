package html

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"parley/internal/plan"
	"parley/internal/topology"
)

// The drawing of a site, in user units: outside on the left, then the outer firewall, the perimeter, the inner
// firewall and the inside; branches below. It is black on white with few tints, so that it can be printed.
const (
	width     = 1500
	boxWidth  = 240
	lineStep  = 15
	xOutside  = 14
	xOuter    = 268
	xEdge     = 440
	xInner    = 836
	xInside   = 1006 // what the perimeter reaches
	xFurther  = 1254 // everything else inside
	labelStep = 13
	xBranches = 248
)

type box struct {
	title, fill string
	lines       []string
	left, right string // ports that are open to it from the left, from the right
}

func (b box) height() int { return 30 + lineStep*len(b.lines) + 6 }

type canvas struct{ strings.Builder }

func (c *canvas) text(x, y int, class, anchor, s string) {
	fmt.Fprintf(c, `<text x="%d" y="%d" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(s))
}

func (c *canvas) box(x, y int, b box) {
	fmt.Fprintf(c, `<rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" class="b"/>`+"\n", x, y, boxWidth, b.height(), b.fill)
	c.text(x+10, y+20, "t", "start", cut(b.title, 36))
	for i, l := range b.lines {
		c.text(x+10, y+37+i*lineStep, "l", "start", cut(l, 41))
	}
}

// bricks is a firewall.
func (c *canvas) bricks(x, y, h int, label string) {
	fmt.Fprintf(c, `<rect x="%d" y="%d" width="16" height="%d" fill="#f3d6c4" class="b"/>`+"\n", x, y, h)
	for i := 10; i < h; i += 10 {
		fmt.Fprintf(c, `<path d="M%d %dh16M%d %dv-10" class="m"/>`+"\n", x, y+i, x+4+(i/10%2)*8, y+i)
	}
	c.text(x+8, y-8, "z", "middle", label)
}

// arrow points from x1 to x2 with the open ports over it.
func (c *canvas) arrow(x1, x2, y int, ports string) {
	if ports == "" {
		return
	}
	fmt.Fprintf(c, `<path d="M%d %dH%d" class="a" marker-end="url(#tip)"/>`+"\n", x1, y, x2)
	lines := wrap(ports, 26)
	for i, l := range lines {
		c.text((x1+x2)/2, y-5-(len(lines)-1-i)*labelStep, "p", "middle", l)
	}
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// wrap breaks a list of ports into at most four lines.
func wrap(s string, n int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(s) {
		if line != "" && len(line)+1+len(w) > n {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	if out = append(out, line); len(out) > 4 {
		out = append(out[:3], out[3]+" …")
	}
	return out
}

// Drawing draws a site: an SVG element whose parts have the classes b, m, a, w, t, l, p and z.
func Drawing(p *plan.Plan, s *topology.Site) string {
	edge, all, branches := boxes(p, s)
	var inside, further []box
	for i, b := range all {
		// Without a perimeter the boxes just fill two columns.
		if b.left != "" || len(edge) == 0 && i%2 == 0 {
			inside = append(inside, b)
		} else {
			further = append(further, b)
		}
	}
	height := func(list []box) int {
		h := 0
		for _, b := range list {
			h += max(b.height(), 70) + 16
		}
		return h
	}
	top := 56
	tall := max(height(edge), height(inside), height(further), 140)
	rows := (len(branches) + 5) / 6
	below := 0
	for i := range rows {
		h := 0
		for _, b := range branches[i*6 : min(len(branches), i*6+6)] {
			h = max(h, b.height())
		}
		below += h + 14
	}
	if rows > 0 {
		below += 44
	}
	c := &canvas{}
	fmt.Fprintf(c, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, top+tall+below+14, html.EscapeString("Drawing of site "+s.Name))
	c.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker></defs>` + "\n")
	if len(edge) > 0 {
		c.text(xOutside, 24, "z", "start", "Outside")
		c.box(xOutside, top, box{title: "Internet", fill: "#eef2f7", lines: []string{"own users, guests,", "partners"}})
		c.text(xEdge, 24, "z", "start", zone("Perimeter", s.Perimeter))
		c.bricks(xOuter, top-6, tall, "outer firewall")
		c.bricks(xInner, top-6, tall, "inner firewall")
	}
	c.text(xInside, 24, "z", "start", zone("Inside", s.Zone))
	y := top
	for _, b := range edge {
		c.box(xEdge, y, b)
		mid := y + max(b.height(), 70)*6/10
		c.arrow(xOuter+16, xEdge, mid, b.left)
		c.arrow(xInner, xEdge+boxWidth, mid, b.right)
		y += max(b.height(), 70) + 16
	}
	y = top
	for _, b := range inside {
		c.box(xInside, y, b)
		c.arrow(xInner+16, xInside, y+max(b.height(), 70)*6/10, b.left)
		y += max(b.height(), 70) + 16
	}
	y = top
	for _, b := range further {
		c.box(xFurther, y, b)
		y += max(b.height(), 70) + 16
	}
	if len(branches) > 0 {
		y = top + tall + 14
		fmt.Fprintf(c, `<path d="M20 %dH%d" class="w"/>`+"\n", y, width-20)
		c.text(24, y+16, "z", "start", "Wide area network")
		y += 30
		for i := range rows {
			h := 0
			for j, b := range branches[i*6 : min(len(branches), i*6+6)] {
				c.box(4+j*xBranches, y, b)
				h = max(h, b.height())
			}
			y += h + 14
		}
	}
	c.WriteString("</svg>\n")
	return c.String()
}

// boxes are the machines of a site: in its perimeter, inside, and its branches.
func boxes(p *plan.Plan, s *topology.Site) (edge, inside, branches []box) {
	t := p.Topology.Topology()
	names := func(list []topology.FQDN) func(plan.Party) bool {
		return func(q plan.Party) bool {
			return slices.ContainsFunc(q.Hosts, func(h plan.Host) bool {
				_, pool, _ := strings.Cut(h.Name, " of ") // a virtual address stands for its pool
				return slices.Contains(list, topology.FQDN(h.Name)) || pool != "" && slices.Contains(list, topology.FQDN(pool))
			})
		}
	}
	into := func(list []topology.FQDN, from func(topology.ZoneKind) bool) string {
		is := names(list)
		return p.PortsInto(func(f plan.Flow) bool {
			return is(f.To) && from(f.From.Kind) && f.Boundary() != plan.Within
		})
	}
	kind := func(want ...topology.ZoneKind) func(topology.ZoneKind) bool {
		return func(k topology.ZoneKind) bool { return slices.Contains(want, k) }
	}
	for i := range t.Pools {
		q := &t.Pools[i]
		if q.Site != s.Name {
			continue
		}
		b := box{title: string(q.FQDN), fill: tint(q.Kind)}
		what := strings.ReplaceAll(string(q.Kind), "-", " ")
		if len(q.Servers) > 1 {
			what = fmt.Sprintf("%s, %d servers", what, len(q.Servers))
			if q.Balancing != topology.BalanceNone {
				what += ", " + map[topology.Balancing]string{topology.BalanceDNS: "DNS", topology.BalanceHardware: "hardware"}[q.Balancing] + " balancing"
			}
		}
		b.lines = append(b.lines, what)
		if len(q.Collocated) > 0 {
			b.lines = append(b.lines, "with "+strings.Trim(strings.ReplaceAll(fmt.Sprint(q.Collocated), " ", ", "), "[]"))
		}
		list := []topology.FQDN{q.FQDN}
		for j, v := range q.Servers {
			list = append(list, v.FQDN)
			if len(q.Servers) <= 4 || j < 2 || j == len(q.Servers)-1 {
				b.lines = append(b.lines, machine(v))
			} else if j == 2 {
				b.lines = append(b.lines, "…")
			}
		}
		if q.Kind == topology.Edge {
			if hard := q.EdgeSettings.Access.Virtual; len(hard) > 0 {
				list = append(list, q.EdgeSettings.Access.FQDN, q.EdgeSettings.WebConference.FQDN, q.EdgeSettings.AV.FQDN)
			}
			b.left, b.right = into(list, kind(topology.External)), into(list, kind(topology.Internal, topology.Branch))
			edge = append(edge, b)
			continue
		}
		b.left = into(list, kind(topology.Perimeter))
		inside = append(inside, b)
	}
	for _, x := range t.ReverseProxies {
		if x.Site == s.Name {
			list := []topology.FQDN{x.FQDN}
			edge = append(edge, box{title: string(x.FQDN), fill: "#fff", lines: []string{"reverse proxy", strings.Trim(fmt.Sprint(x.Addresses), "[]"), strings.Trim(fmt.Sprint(x.External), "[]")},
				left: into(list, kind(topology.External)), right: into(list, kind(topology.Internal, topology.Branch))})
		}
	}
	others := map[string][]string{}
	var order []string
	for _, m := range p.Topology.Machines() {
		if m.Pool != nil || m.Site != s || m.Has(topology.RoleReverseProxy) {
			continue
		}
		role := strings.ReplaceAll(string(m.Roles[0]), "-", " ")
		if others[role] == nil {
			order = append(order, role)
		}
		others[role] = append(others[role], machine(topology.Server{FQDN: m.FQDN, Addresses: m.Addresses}))
	}
	for _, role := range order {
		inside = append(inside, box{title: role, fill: "#fff", lines: others[role]})
	}
	if s.Users > 0 {
		inside = append(inside, box{title: fmt.Sprintf("%d users", s.Users), fill: "#eef2f7", lines: []string{"clients in " + s.Zone}})
	}
	for i := range t.Sites {
		if c := &t.Sites[i]; c.Parent == s.Name {
			b := box{title: c.Name, fill: "#f4f8ee", lines: []string{fmt.Sprintf("branch, %d users", c.Users)}}
			for j := range t.Pools {
				if q := &t.Pools[j]; q.Site == c.Name {
					b.lines = append(b.lines, string(q.FQDN), strings.ReplaceAll(string(q.Kind), "-", " "))
				}
			}
			for _, g := range t.Gateways {
				if g.Site == c.Name {
					b.lines = append(b.lines, "gateway "+string(g.FQDN))
				}
			}
			branches = append(branches, b)
		}
	}
	return edge, inside, branches
}

func machine(s topology.Server) string {
	host, _, _ := strings.Cut(string(s.FQDN), ".")
	if len(s.Addresses) == 0 {
		return host
	}
	return host + "  " + strings.Trim(fmt.Sprint(s.Addresses), "[]")
}

func tint(k topology.PoolKind) string {
	switch {
	case k == topology.Edge:
		return "#fdf3e1"
	case k.FrontEnd():
		return "#e3eefb"
	case k == topology.Director:
		return "#eae6f7"
	case k == topology.Mediation, k.Branch():
		return "#e5f4ea"
	}
	return "#fff"
}

// zone names a part of a site's network.
func zone(part, name string) string {
	if name == "" {
		return part
	}
	return part + ", zone " + name
}
