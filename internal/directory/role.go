package directory

import "strings"

// Role is what a user may do as an administrator. Each includes those before it.
type Role string

// The roles. The zero value is everybody else.
const (
	NoRole        Role = ""
	Viewer        Role = "viewer"        // looks at everything but what people send each other
	Helpdesk      Role = "helpdesk"      // also helps users: passwords, names, numbers, sign-in; follows SIP without its contents
	Administrator Role = "administrator" // everything
)

// Roles lists them, the least first.
func Roles() []Role { return []Role{NoRole, Viewer, Helpdesk, Administrator} }

// Covers reports whether a user with the role r may do what needs the role need. A role that a newer version of the
// program gave covers nothing.
func (r Role) Covers(need Role) bool {
	have := rank(r)
	return need == NoRole || have > 0 && have >= rank(need)
}

func rank(r Role) int {
	for i, known := range Roles() {
		if r == known {
			return i
		}
	}
	return -1
}

func (r Role) check() error {
	if rank(r) >= 0 {
		return nil
	}
	var names []string
	for _, known := range Roles()[1:] {
		names = append(names, string(known))
	}
	return invalid("role", "%.32q is no role: there are %s, and an empty one for none", string(r), strings.Join(names, ", "))
}
