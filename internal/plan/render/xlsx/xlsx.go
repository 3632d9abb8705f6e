// Package xlsx writes the plan as a workbook: the four reports about the Edge, a firewall sheet for each site, and the
// other documents of the plan.
package xlsx

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"parley/internal/plan"
)

// Report writes the workbook.
func Report(p *plan.Plan) ([]plan.File, error) {
	w := &workbook{f: excelize.NewFile(), used: map[string]bool{}}
	defer w.f.Close()
	if err := w.styles(); err != nil {
		return nil, err
	}
	for _, d := range p.EdgeReports() {
		if err := w.sheet(d.Title, d); err != nil {
			return nil, err
		}
	}
	for _, d := range p.SiteFirewalls() {
		if err := w.sheet("Firewall "+d.Title, d); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"ports", "lb", "proxy", "ipsec", "certs", "qos", "capacity"} {
		d, err := p.Document(kind)
		if err != nil {
			return nil, err
		}
		if err := w.sheet(d.Title, d); err != nil {
			return nil, err
		}
	}
	if err := w.f.DeleteSheet("Sheet1"); err != nil {
		return nil, err
	}
	w.f.SetActiveSheet(0)
	b, err := w.f.WriteToBuffer()
	if err != nil {
		return nil, err
	}
	return []plan.File{{Name: "plan.xlsx", Data: b.Bytes()}}, nil
}

type workbook struct {
	f          *excelize.File
	used       map[string]bool
	head, cell int
}

func (w *workbook) styles() (err error) {
	border := []excelize.Border{{Type: "bottom", Color: "D0D7DE", Style: 1}}
	if w.head, err = w.f.NewStyle(&excelize.Style{
		Font: &excelize.Font{Bold: true, Color: "FFFFFF"}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"1F4E79"}},
		Alignment: &excelize.Alignment{Vertical: "center", WrapText: true},
	}); err != nil {
		return err
	}
	w.cell, err = w.f.NewStyle(&excelize.Style{Border: border, Alignment: &excelize.Alignment{Vertical: "top", WrapText: true}})
	return err
}

// widths of columns, in characters: wide enough for what is usually in them, the rest wraps.
const (
	minWidth = 9
	maxWidth = 46
)

// sheet adds a document: the head stays in sight and on every printed page, and rows can be filtered. All cells are
// text, never formulas: names and notes come from whoever wrote the topology.
func (w *workbook) sheet(name string, d *plan.Document) error {
	name = w.name(name)
	if _, err := w.f.NewSheet(name); err != nil {
		return err
	}
	if err := w.layout(name, d); err != nil {
		return err
	}
	widths := make([]int, len(d.Columns))
	head := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		head[i] = c.Title
		widths[i] = max(utf8.RuneCountInString(c.Title)+4, minWidth)
		for _, row := range d.Rows {
			widths[i] = min(max(widths[i], utf8.RuneCountInString(row[i])+2), maxWidth)
		}
		column, err := excelize.ColumnNumberToName(i + 1)
		if err != nil {
			return err
		}
		if err := w.f.SetColWidth(name, column, column, float64(widths[i])); err != nil {
			return err
		}
	}
	if err := w.f.SetPanes(name, &excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	last, err := excelize.ColumnNumberToName(len(d.Columns))
	if err != nil {
		return err
	}
	put := func(row, style int, cells []string) error {
		if err := w.f.SetSheetRow(name, fmt.Sprint("A", row), &cells); err != nil {
			return err
		}
		if err := w.f.SetCellStyle(name, fmt.Sprint("A", row), fmt.Sprint(last, row), style); err != nil {
			return err
		}
		// Programs that show the sheet do not make rows higher by themselves: count the lines.
		lines := 1
		for i, c := range cells {
			lines = max(lines, (utf8.RuneCountInString(c)*11/10+widths[i]-1)/widths[i])
		}
		return w.f.SetRowHeight(name, row, float64(min(lines*14+2, 400)))
	}
	if err := put(1, w.head, head); err != nil {
		return err
	}
	for i, row := range d.Rows {
		if err := put(i+2, w.cell, row); err != nil {
			return err
		}
	}
	for i, n := range d.Notes {
		if err := w.f.SetCellStr(name, fmt.Sprint("A", len(d.Rows)+3+i), n); err != nil {
			return err
		}
	}
	return w.f.SetDefinedName(&excelize.DefinedName{Name: "_xlnm.Print_Titles", RefersTo: "'" + strings.ReplaceAll(name, "'", "''") + "'!$1:$1", Scope: name})
}

// layout sets up a sheet for printing and filtering.
func (w *workbook) layout(name string, d *plan.Document) error {
	landscape, fit, tall, a4, yes := "landscape", 1, 0, 9, true
	if err := w.f.SetPageLayout(name, &excelize.PageLayoutOptions{Orientation: &landscape, Size: &a4, FitToWidth: &fit, FitToHeight: &tall}); err != nil {
		return err
	}
	if err := w.f.SetHeaderFooter(name, &excelize.HeaderFooterOptions{OddFooter: "&L&A&RPage &P of &N"}); err != nil {
		return err
	}
	last, err := excelize.CoordinatesToCellName(len(d.Columns), len(d.Rows)+1)
	if err != nil {
		return err
	}
	if err := w.f.AutoFilter(name, "A1:"+last, nil); err != nil {
		return err
	}
	// After the filter, which resets the properties.
	return w.f.SetSheetProps(name, &excelize.SheetPropsOptions{FitToPage: &yes})
}

// name makes a name that a sheet may have and no other has: at most 31 characters, some of them not allowed.
func (w *workbook) name(s string) string {
	s = strings.Trim(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`[]:*?/\`, r) || r < ' ' {
			return '-'
		}
		return r
	}, s), "'")
	base := []rune(s)
	out := string(base[:min(len(base), 31)])
	for i := 2; w.used[strings.ToLower(out)]; i++ {
		tail := fmt.Sprint(" ", i)
		out = string(base[:min(len(base), 31-len(tail))]) + tail
	}
	w.used[strings.ToLower(out)] = true
	return out
}
