package probe

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Table writes results for people.
func Table(w io.Writer, results []Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RESULT\tHOST\tADDRESS\tPORT\tASKED\tCAME BACK\tTOOK\tROWS\tREMARK")
	failed, answered := 0, 0
	for _, r := range results {
		verdict := "ok"
		if r.Outcome == Open {
			answered++
		}
		if r.Failed() {
			verdict = "FAILED"
			failed++
		}
		rows := strings.Join(r.Rows, ", ")
		if !r.Allowed {
			rows = "(not allowed)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s %d\t%s\t%s\t%s\t%s\t%s\n", verdict, r.Host, r.Address, r.Transport, r.Port, r.Method, r.Outcome,
			r.Took.Round(time.Millisecond), rows, r.Remark())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d probes, %d failed, %d answered\n", len(results), failed, answered)
	return err
}

// JSON writes results for programs.
func JSON(w io.Writer, results []Result) error {
	type line struct {
		Result
		Failed bool   `json:"failed"`
		Reason string `json:"reason,omitempty"`
	}
	lines := make([]line, len(results))
	for i, r := range results {
		lines[i] = line{r, r.Failed(), r.Reason()}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(lines)
}

// JUnit writes results for systems that show test reports, a class for each host.
func JUnit(w io.Writer, name string, results []Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure,omitempty"`
	}
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: name, Tests: len(results)}
	for _, r := range results {
		c := testcase{Class: r.Host, Name: fmt.Sprintf("%s %s %d %s", r.Address, r.Transport, r.Port, strings.Join(r.Rows, " ")), Time: fmt.Sprintf("%.3f", r.Took.Seconds())}
		if !r.Allowed {
			c.Name += "must not be reachable"
		}
		if r.Failed() {
			suite.Failures++
			c.Failure = &failure{r.Reason()}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
