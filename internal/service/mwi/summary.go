package mwi

import (
	"bytes"
	"strconv"
	"strings"

	"parley/internal/contract/mwi"
	"parley/internal/sip"
	"parley/internal/uc"
)

// mediaType is that of a message summary.
const mediaType = "application/simple-message-summary"

// summary prints the state of a mailbox (RFC 3842 section 5.2).
func summary(account uc.AOR, c mwi.Counts) []byte {
	var b bytes.Buffer
	b.WriteString("Messages-Waiting: ")
	if c.Waiting() {
		b.WriteString("yes\r\n")
	} else {
		b.WriteString("no\r\n")
	}
	b.WriteString("Message-Account: " + account.URI() + "\r\n")
	for _, class := range mwi.Classes() {
		n, ok := c[class]
		if !ok {
			continue
		}
		b.WriteString(title(class) + ": " + strconv.Itoa(n.New) + "/" + strconv.Itoa(n.Old))
		if n.NewUrgent > 0 || n.OldUrgent > 0 {
			b.WriteString(" (" + strconv.Itoa(n.NewUrgent) + "/" + strconv.Itoa(n.OldUrgent) + ")")
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// title is a class as the examples of the RFC spell it: Voice-Message.
func title(c mwi.Class) string {
	parts := strings.Split(string(c), "-")
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "-")
}

// maxCount bounds the numbers that are believed.
const maxCount = 1 << 20

// parse reads a message summary. Fields it does not know are passed over. A
// summary that only says "yes" counts as one new voice message.
func parse(b []byte) (mwi.Counts, error) {
	c := mwi.Counts{}
	waiting, said := false, false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break // message headers follow
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, sip.Errorf(400, "no field: %.40q", line)
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "messages-waiting" {
			switch strings.ToLower(value) {
			case "yes":
				waiting = true
			case "no":
			default:
				return nil, sip.Errorf(400, "Messages-Waiting is neither yes nor no")
			}
			said = true
			continue
		}
		for _, class := range mwi.Classes() {
			if name != string(class) {
				continue
			}
			n, ok := numbers(value)
			if !ok {
				return nil, sip.Errorf(400, "%s: unreadable numbers %.40q", class, value)
			}
			c[class] = n
		}
	}
	if !said {
		return nil, sip.Errorf(400, "no Messages-Waiting")
	}
	if waiting && !c.Waiting() {
		n := c[mwi.Voice]
		n.New = 1
		c[mwi.Voice] = n
	}
	return c, c.Check()
}

// numbers reads "2/8" or "2/8 (0/2)".
func numbers(s string) (c mwi.Count, ok bool) {
	main, urgent, has := strings.Cut(s, "(")
	if c.New, c.Old, ok = pair(main); !ok {
		return c, false
	}
	if has {
		inner, rest, closed := strings.Cut(urgent, ")")
		if c.NewUrgent, c.OldUrgent, ok = pair(inner); !ok || !closed || strings.TrimSpace(rest) != "" {
			return c, false
		}
	}
	return c, true
}

func pair(s string) (a, b int, ok bool) {
	x, y, ok := strings.Cut(s, "/")
	if !ok {
		return 0, 0, false
	}
	if a, ok = number(x); !ok {
		return 0, 0, false
	}
	b, ok = number(y)
	return a, b, ok
}

func number(s string) (int, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return int(n), err == nil && n <= maxCount
}
