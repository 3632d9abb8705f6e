package adminapi

import (
	"encoding/json"
	"time"

	"parley/internal/directory"
	"parley/internal/obs"
)

// Status is GET /api/v1/status.
type Status struct {
	Node      string        `json:"node"`
	Pool      string        `json:"pool"`
	Version   string        `json:"version"`
	Domains   []string      `json:"domains"`
	Roles     []string      `json:"roles"`
	PID       int           `json:"pid"`
	Started   time.Time     `json:"started"`
	State     string        `json:"state"` // "starting", "running", "draining"
	Ready     bool          `json:"ready"`
	Missing   []obs.Missing `json:"missing,omitempty"` // what keeps it from being ready
	Services  []Service     `json:"services"`
	Listeners []Listener    `json:"listeners"`
	Offset    int           `json:"offset"` // added to listening ports below 1024
	Counts    Counts        `json:"counts"`
	Topology  int64         `json:"topology"` // revision in force
	DataDir   string        `json:"data_dir"`
	AdminHTTP string        `json:"admin_http,omitempty"` // address of health and metrics
	AdminURL  string        `json:"admin_url,omitempty"`  // of the administration pages
}

// Counts are the numbers an operator looks at first.
type Counts struct {
	Users         int `json:"users"`
	Registrations int `json:"registrations"`
	Calls         int `json:"calls"`
	Flows         int `json:"flows"`
}

// Service is one service of a node.
type Service struct {
	Name  string `json:"name"`
	State string `json:"state"` // "running", "failed", "not ready", "draining", "stopped"
	Error string `json:"error,omitempty"`
}

// Listener is one open listener.
type Listener struct {
	Row       string `json:"row"` // id in the port table, or "ext-..." for a port beside it
	Service   string `json:"service"`
	Transport string `json:"transport"`
	Address   string `json:"address"`
	Extension string `json:"extension,omitempty"` // why a port beside the table exists
}

// Call is one element of GET /api/v1/calls.
type Call struct {
	CallID   string      `json:"call_id"`
	From     string      `json:"from"`
	To       string      `json:"to"`
	State    string      `json:"state"` // "calling", "ringing", "talking"
	Started  time.Time   `json:"started"`
	Answered *time.Time  `json:"answered,omitempty"`
	Media    []CallMedia `json:"media,omitempty"` // that passes through the node
}

// Registration is one element of GET /api/v1/registrations: one endpoint.
type Registration struct {
	User      string    `json:"user"`
	Contact   string    `json:"contact"`
	Instance  string    `json:"instance,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Transport string    `json:"transport,omitempty"`
	Remote    string    `json:"remote,omitempty"`
	Flow      uint64    `json:"flow,omitempty"`
	Node      string    `json:"node,omitempty"`
	Expires   time.Time `json:"expires"`
}

// Flow is one element of GET /api/v1/flows.
type Flow struct {
	ID        uint64 `json:"id"`
	Transport string `json:"transport"`
	Local     string `json:"local"`
	Remote    string `json:"remote"`
	Identity  string `json:"identity,omitempty"`
	Class     string `json:"class"`
}

// User is a user as the API shows one; the password is never shown.
type User struct {
	AOR         string            `json:"aor"`
	Name        string            `json:"name"`
	Aliases     []string          `json:"aliases"`
	Phones      []string          `json:"phones"`
	Enabled     bool              `json:"enabled"`
	HasPassword bool              `json:"has_password"`
	Role        directory.Role    `json:"role,omitempty"`   // as an administrator
	Source      string            `json:"source,omitempty"` // other directory that keeps the user: change it there
	Policy      directory.Policy  `json:"policy"`
	Profile     directory.Profile `json:"profile"`
	PhotoSize   int               `json:"photo_size,omitempty"` // bytes; 0 without a photo
	Created     time.Time         `json:"created"`
	Changed     time.Time         `json:"changed"`
	Version     int64             `json:"version"` // the ETag
}

// UserChange is the body of PUT (a new user) and PATCH. Fields left out keep
// their value, single policies too.
type UserChange struct {
	Name     *string                    `json:"name,omitempty"`
	Aliases  *[]string                  `json:"aliases,omitempty"`
	Phones   *[]string                  `json:"phones,omitempty"`
	Enabled  *bool                      `json:"enabled,omitempty"`
	Password *string                    `json:"password,omitempty"`
	Role     *string                    `json:"role,omitempty"` // as an administrator; empty for none
	Policy   map[string]json.RawMessage `json:"policy,omitempty"`
	Profile  map[string]string          `json:"profile,omitempty"` // by the names of directory.Profile; empty values remove
	Photo    *[]byte                    `json:"photo,omitempty"`   // JPEG or PNG in base64; empty removes
}

// Photo is GET /api/v1/users/{aor}/photo.
type Photo struct {
	Type  string `json:"type"` // "image/jpeg" or "image/png"
	Image []byte `json:"image"`
}

// Group is a distribution list as the API shows one.
type Group struct {
	Address     string    `json:"address"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Members     []string  `json:"members"` // addresses of users, then of groups
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	Version     int64     `json:"version"` // the ETag
}

// GroupChange is the body of PUT (a new group) and PATCH. Fields left out keep
// their value.
type GroupChange struct {
	Name        *string   `json:"name,omitempty"`
	Description *string   `json:"description,omitempty"`
	Members     *[]string `json:"members,omitempty"` // the whole list
	Add         []string  `json:"add,omitempty"`     // PATCH only
	Remove      []string  `json:"remove,omitempty"`  // PATCH only
}

// People is GET /api/v1/groups/{address}/people: the enabled users of a group and
// of the groups in it.
type People struct {
	Users []string `json:"users"`
	More  bool     `json:"more"` // there are more than were asked for with max
}

// Change is one difference that a reload makes.
type Change struct {
	Section string `json:"section"`
	Text    string `json:"text"`
	Live    bool   `json:"live"` // false: takes effect at the next start
}

// ReloadResult is the answer to POST /api/v1/reload.
type ReloadResult struct {
	Changes []Change `json:"changes"`
	Applied bool     `json:"applied"` // false for ?dry-run=1
}

// AuditRecord is one element of GET /api/v1/audit, newest first.
type AuditRecord struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Who    string          `json:"who"`            // account of the operating system, or user
	From   string          `json:"from,omitempty"` // address, when by the web
	Action string          `json:"action"`         // "user.add", "topology.apply", ...
	Object string          `json:"object"`
	Detail json.RawMessage `json:"detail,omitempty"`
}

// TraceLine is one line of GET /api/v1/trace: JSON objects, one per line, sent
// as the messages pass when follow=1.
type TraceLine struct {
	obs.TraceMeta
	Title string `json:"title"`
	Text  string `json:"text"`
}

// Problem is the body of every answer that is not a success. ID is permanent
// (see docs/reference); Message says what to do.
type Problem struct {
	Status  int    `json:"status"`
	ID      string `json:"id"`
	Message string `json:"message"`
}

func (p *Problem) Error() string { return p.Message }

// TopologyText is the body of /api/v1/topology: a topology file and the
// revision it has in force, which is also the ETag.
type TopologyText struct {
	Text     string `json:"text"`
	Revision int64  `json:"revision,omitempty"`
}
