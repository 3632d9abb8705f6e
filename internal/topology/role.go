package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a machine does in the deployment. A node has one or several; roles select services.
type Role string

// Roles that a Parley node can have.
const (
	RoleFrontEnd          Role = "front-end"          // registrar, presence, conferencing, web, applications
	RoleCentralManagement Role = "central-management" // the one Front End that owns the configuration
	RoleDirector          Role = "director"           // authenticates and redirects, homes nobody
	RoleMediation         Role = "mediation"          // stands between the SIP core and gateways
	RoleEdge              Role = "edge"               // access, web conferencing and media from outside
	RolePersistentChat    Role = "persistent-chat"    // chat rooms that last
	RoleOfficeWebApps     Role = "office-web-apps"    // renders presentations
	RoleVideoInterop      Role = "video-interop"      // room systems of other makers
	RoleBranch            Role = "branch"             // survivable registrar of a branch site
	RoleMediaRelay        Role = "media-relay"        // the media relay of an Edge on a Front End, where there is no Edge
)

// Roles of machines that a plan draws and the product does not run.
const (
	RoleGateway          Role = "gateway" // PSTN gateway, IP-PBX or SBC
	RoleDatabase         Role = "database"
	RoleFileShare        Role = "file-share"
	RoleReverseProxy     Role = "reverse-proxy"
	RoleLoadBalancer     Role = "load-balancer"
	RoleUnifiedMessaging Role = "unified-messaging"
	RoleTrustedServer    Role = "trusted-application"
	RoleInfrastructure   Role = "infrastructure" // name, address, time and directory servers
)

// NodeRoles lists the roles that a Parley node can have, in the order in which they are printed.
func NodeRoles() []Role {
	return []Role{RoleFrontEnd, RoleCentralManagement, RoleDirector, RoleMediation, RoleEdge, RolePersistentChat,
		RoleOfficeWebApps, RoleVideoInterop, RoleBranch, RoleMediaRelay}
}

// UnmarshalText implements encoding.TextUnmarshaler for the roles that a node can have.
func (r *Role) UnmarshalText(b []byte) error { return oneOf(r, "role", b, NodeRoles()) }

// Inside reports whether nodes of the role belong to the internal network, where store and bus are reachable.
func (r Role) Inside() bool { return r != RoleEdge && r != RoleReverseProxy }

// PoolKind is the make-up of a pool: which role its members share.
type PoolKind string

// The kinds of pool.
const (
	Standard        PoolKind = "standard"         // one Front End with everything on it
	Enterprise      PoolKind = "enterprise"       // up to twelve Front Ends and a database
	Director        PoolKind = "director"         // up to ten
	Mediation       PoolKind = "mediation"        // stand-alone
	Edge            PoolKind = "edge"             // in the perimeter
	PersistentChat  PoolKind = "persistent-chat"  // up to four active, eight in all
	OfficeWebApps   PoolKind = "office-web-apps"  // a farm
	VideoInterop    PoolKind = "video-interop"    //
	BranchAppliance PoolKind = "branch-appliance" // gateway, registrar and Mediation in one box
	BranchServer    PoolKind = "branch-server"    // registrar and Mediation, needs a gateway
)

// PoolKinds lists every kind.
func PoolKinds() []PoolKind {
	return []PoolKind{Standard, Enterprise, Director, Mediation, Edge, PersistentChat, OfficeWebApps, VideoInterop,
		BranchAppliance, BranchServer}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *PoolKind) UnmarshalText(b []byte) error { return oneOf(k, "kind of pool", b, PoolKinds()) }

// FrontEnd reports whether users can be homed on the pool with all services: a Standard or Enterprise pool.
func (k PoolKind) FrontEnd() bool { return k == Standard || k == Enterprise }

// Branch reports whether the pool is the survivable part of a branch site.
func (k PoolKind) Branch() bool { return k == BranchAppliance || k == BranchServer }

// Registrar reports whether users can be homed on the pool.
func (k PoolKind) Registrar() bool { return k.FrontEnd() || k.Branch() }

// Roles are the roles that the kind alone gives to every member.
func (k PoolKind) Roles() []Role {
	switch k {
	case Standard, Enterprise:
		return []Role{RoleFrontEnd}
	case Director:
		return []Role{RoleDirector}
	case Mediation:
		return []Role{RoleMediation}
	case Edge:
		return []Role{RoleEdge}
	case PersistentChat:
		return []Role{RolePersistentChat}
	case OfficeWebApps:
		return []Role{RoleOfficeWebApps}
	case VideoInterop:
		return []Role{RoleVideoInterop}
	case BranchAppliance, BranchServer:
		return []Role{RoleBranch, RoleMediation}
	}
	return nil
}

// Balancing is how load is spread over the members of a pool.
type Balancing string

// The kinds of balancing. Web traffic always needs a load balancer when there is more than one member.
const (
	BalanceNone     Balancing = ""         // one member
	BalanceDNS      Balancing = "dns"      // several address records under one name
	BalanceHardware Balancing = "hardware" // a virtual address
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Balancing) UnmarshalText(t []byte) error {
	if string(t) == "none" {
		*b = BalanceNone
		return nil
	}
	return oneOf(b, "kind of load balancing", t, []Balancing{BalanceDNS, BalanceHardware})
}

// String never is empty.
func (b Balancing) String() string {
	if b == BalanceNone {
		return "none"
	}
	return string(b)
}

// ZoneKind says on which side of which firewall a zone lies.
type ZoneKind string

// The kinds of zone.
const (
	Internal  ZoneKind = "internal"
	Perimeter ZoneKind = "perimeter"
	External  ZoneKind = "external"
	Branch    ZoneKind = "branch"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *ZoneKind) UnmarshalText(b []byte) error {
	return oneOf(k, "kind of zone", b, []ZoneKind{Internal, Perimeter, External, Branch})
}

// oneOf sets dst when text is one of the allowed words.
func oneOf[T ~string](dst *T, what string, text []byte, allowed []T) error {
	if slices.Contains(allowed, T(text)) {
		*dst = T(text)
		return nil
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return fmt.Errorf("%q is no %s; known are %s", text, what, strings.Join(words, ", "))
}
