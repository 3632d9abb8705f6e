// Package markdown prints a document as Markdown with pipe tables, one for each group of rows.
package markdown

import (
	"fmt"
	"io"
	"strings"

	"parley/internal/plan"
)

var escaper = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`)

// Render writes d.
func Render(w io.Writer, d *plan.Document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", escaper.Replace(d.Title))
	if len(d.Problems) > 0 {
		b.WriteString("\n## Warnings\n\n")
		for _, p := range d.Problems {
			fmt.Fprintf(&b, "- %s\n", escaper.Replace(p.String()))
		}
	}
	for _, g := range d.Groups() {
		fmt.Fprintf(&b, "\n## %s\n\n", escaper.Replace(g.Name))
		var head, rule []string
		for _, c := range d.Columns[1:] {
			head, rule = append(head, escaper.Replace(c.Title)), append(rule, "---")
		}
		line(&b, head)
		line(&b, rule)
		for _, row := range g.Rows {
			cells := make([]string, 0, len(row))
			for _, c := range row[1:] {
				cells = append(cells, escaper.Replace(c))
			}
			line(&b, cells)
		}
	}
	if len(d.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "- %s\n", escaper.Replace(n))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func line(b *strings.Builder, cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
