// Package html writes the plan as one page that needs nothing else: a drawing of each site, the reports about the
// Edge, and every document of the plan. It prints on landscape A4.
package html

import (
	"bytes"
	"fmt"
	"html/template"

	"parley/internal/plan"
	"parley/internal/topology"
)

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{.Name}}: network plan</title>
<style>
body { font: 13px/1.4 "DejaVu Sans", Arial, sans-serif; color: #111; margin: 2em auto; max-width: 1320px; padding: 0 1em; }
h1 { font-size: 22px; } h2 { font-size: 17px; border-bottom: 2px solid #1f4e79; padding-bottom: 3px; margin-top: 2em; } h3 { font-size: 14px; margin: 1.4em 0 .4em; }
table { border-collapse: collapse; width: 100%; font-size: 11px; }
th { background: #1f4e79; color: #fff; text-align: left; } th, td { border: 1px solid #c8d0d8; padding: 3px 5px; vertical-align: top; overflow-wrap: anywhere; }
tr:nth-child(even) td { background: #f6f8fa; }
ul.warn { background: #fff6dd; border: 1px solid #e0c36a; padding: .6em 2em; }
nav a { margin-right: 1.2em; } svg { width: 100%; height: auto; }
svg .b { stroke: #333; stroke-width: 1; } svg .m { stroke: #a5684a; stroke-width: .6; fill: none; } svg .a { stroke: #1f4e79; stroke-width: 1.4; fill: none; }
svg .w { stroke: #333; stroke-width: 2; stroke-dasharray: 8 4; }
svg .t { font: bold 12px "DejaVu Sans", Arial, sans-serif; } svg .l { font: 10.5px "DejaVu Sans", Arial, sans-serif; } svg .p { font: 10px "DejaVu Sans", Arial, sans-serif; fill: #1f4e79; } svg .z { font: bold 12px "DejaVu Sans", Arial, sans-serif; fill: #555; }
@media print {
  @page { size: A4 landscape; margin: 11mm; }
  body { margin: 0; max-width: none; font-size: 10px; } table { font-size: 8px; } h2 { break-before: page; margin-top: 0; } h2.first { break-before: auto; } h2, h3 { break-after: avoid; }
  nav { display: none; } tr { break-inside: avoid; } thead { display: table-header-group; } figure { break-inside: avoid; margin: 0; } svg { max-height: 142mm; }
  th, td, tr:nth-child(even) td { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
</style>
</head>
<body>
<h1>{{.Name}}: network plan</h1>
<nav>{{range .Sites}}<a href="#site-{{.Index}}">{{.Name}}</a>{{end}}{{range .Documents}}<a href="#{{.ID}}">{{.Title}}</a>{{end}}</nav>
{{if .Warnings}}<ul class="warn">{{range .Warnings}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{range .Sites}}<h2 id="site-{{.Index}}"{{if not .Index}} class="first"{{end}}>Site {{.Name}}</h2>
<p>{{.Text}}</p>
<figure>{{.Drawing}}</figure>
{{end}}{{range .Documents}}<h2 id="{{.ID}}">{{.Title}}</h2>
{{$d := .}}{{range .Groups}}<h3>{{.Name}}</h3>
<table><thead><tr>{{range $d.Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table>
{{else}}<p>Nothing to show for this topology.</p>
{{end}}{{range .Notes}}<p>{{.}}</p>
{{end}}{{end}}</body>
</html>
`))

type siteView struct {
	Index      int
	Name, Text string
	Drawing    template.HTML
}

type documentView struct {
	ID, Title string
	Head      []string
	Groups    []plan.Group
	Notes     []string
}

// Report writes the page.
func Report(p *plan.Plan) ([]plan.File, error) {
	t := p.Topology.Topology()
	data := struct {
		Name      string
		Warnings  []string
		Sites     []siteView
		Documents []documentView
	}{Name: t.Name}
	if data.Name == "" {
		data.Name = string(p.Topology.DefaultDomain())
	}
	for _, problem := range p.Topology.Validate() {
		if problem.Severity == topology.Warning {
			data.Warnings = append(data.Warnings, problem.String())
		}
	}
	for i := range t.Sites {
		s := &t.Sites[i]
		text := fmt.Sprintf("%s site, %d users", s.Kind, s.Users)
		if s.Parent != "" {
			text += ", belongs to " + s.Parent
		}
		if s.Description != "" {
			text = s.Description + ": " + text
		}
		// The drawing escapes every name itself.
		data.Sites = append(data.Sites, siteView{i, s.Name, text + ".", template.HTML(Drawing(p, s))})
	}
	documents := p.EdgeReports()
	for _, d := range documents {
		d.Title = "Edge: " + d.Title
	}
	for _, kind := range plan.Kinds() {
		d, err := p.Document(kind)
		if err != nil {
			return nil, err
		}
		documents = append(documents, d)
	}
	for _, d := range documents {
		v := documentView{ID: d.Kind, Title: d.Title, Groups: d.Groups(), Notes: d.Notes}
		for _, c := range d.Columns[1:] {
			v.Head = append(v.Head, c.Title)
		}
		for i, g := range v.Groups {
			rows := make([][]string, len(g.Rows))
			for j, row := range g.Rows {
				rows[j] = row[1:]
			}
			v.Groups[i].Rows = rows
		}
		data.Documents = append(data.Documents, v)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, err
	}
	return []plan.File{{Name: "plan.html", Data: b.Bytes()}}, nil
}
