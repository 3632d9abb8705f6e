package proxy

import (
	"strconv"

	"parley/internal/sip"
)

// disposition applies what the caller wishes about forking (RFC 3841 9.1). It may return fewer branches, and
// change their groups in a copy.
func (c *call) disposition(branches []Branch) []Branch {
	if !c.req.Has(sip.HRequestDisposition) {
		return branches
	}
	for v := range c.req.All(sip.HRequestDisposition) {
		switch string(v) {
		case "no-fork":
			first := 0
			for i := range branches {
				if branches[i].Group < branches[first].Group {
					first = i
				}
			}
			return branches[first : first+1]
		case "no-cancel":
			c.machine.noCancel = true
		case "sequential":
			branches = append([]Branch(nil), branches...)
			sortByGroup(branches)
			for i := range branches {
				branches[i].Group = i
			}
		case "parallel":
			branches = append([]Branch(nil), branches...)
			for i := range branches {
				branches[i].Group = 0
			}
		}
	}
	return branches
}

// sortByGroup sorts by insertion: branches are few and mostly sorted already.
func sortByGroup(b []Branch) {
	for i := 1; i < len(b); i++ {
		for j := i; j > 0 && b[j].Group < b[j-1].Group; j-- {
			b[j], b[j-1] = b[j-1], b[j]
		}
	}
}

// defaultBreadth is what a request without Max-Breadth has (RFC 5393 5.3.3).
const defaultBreadth = 60

// breadth shares out Max-Breadth among the branches of the widest group, so that a request that is forked again
// and again cannot become more than so many. Requests with a single branch pass with what they have.
func (c *call) breadth(branches []Branch) error {
	have := defaultBreadth
	if v := c.req.Header(sip.HMaxBreadth); v != nil {
		n, err := strconv.Atoi(string(v))
		if err != nil || n < 0 {
			return &sip.Error{Code: 400, Diagnostic: "Max-Breadth is not a number"}
		}
		have = min(n, 1<<16)
	}
	widest := 0
	for i := range branches {
		n := 0
		for j := range branches {
			if branches[j].Group == branches[i].Group {
				n++
			}
		}
		widest = max(widest, n)
	}
	if have < widest {
		return &sip.Error{Code: 440, Reason: "Max-Breadth Exceeded"}
	}
	c.edit.breadth = have / widest
	return nil
}
