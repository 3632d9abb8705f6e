// Package provision tells clients their settings: the event package
// vnd-microsoft-provisioning-v2 ([MS-SIPREGE] 2.2.2.4). A client names groups of
// settings and gets those that exist.
//
// What is told is true of this server: an address stands there when somebody
// answers at it, and a feature that is missing is said to be off. Clients try what
// they are told and report what fails.
package provision

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley/internal/directory"
	"parley/internal/notify"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/xmldoc/provisioning"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:    "provision",
	Doc:     "Settings of clients, told when they sign in.",
	Roles:   []topology.Role{topology.RoleFrontEnd},
	Needs:   service.NeedSIP | service.NeedDirectory | service.NeedWeb,
	Handles: []string{"SUBSCRIBE " + provisioning.EventPackage},
	Build:   func(h service.Host) (service.Service, error) { return New(h), nil },
}

// Service is the running service.
type Service struct {
	host     service.Host
	notifier *notify.Notifier

	cancel  context.CancelFunc
	running sync.WaitGroup
	undo    []func()
}

// New builds the service. It starts nothing.
func New(h service.Host) *Service {
	s := &Service{host: h}
	s.notifier = notify.New(notify.Config{Package: provisioning.EventPackage, Stack: h.SIP, Log: h.Log, Now: h.Now, Document: s.document,
		Limits: event.Limits{Default: 8 * time.Hour, Max: 24 * time.Hour, Interval: time.Second}})
	return s
}

// Start runs the timers.
func (s *Service) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.undo = append(s.undo, s.host.Directory.Watch(func(e directory.Event) {
		if e.Kind == directory.Changed && e.Old != nil && e.Old.Policy != e.User.Policy {
			s.notifier.Changed(string(e.User.AOR))
		}
	}))
	s.running.Go(func() { s.notifier.Run(run) })
	return nil
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop lets go of subscriptions.
func (s *Service) Stop(context.Context) error {
	for _, fn := range s.undo {
		fn()
	}
	s.undo = nil
	s.notifier.Stop()
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return nil
}

// ServeSIP takes a SUBSCRIBE.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	if notify.Known(tx.Request()) {
		s.notifier.Refresh(tx)
		return
	}
	if err := s.subscribe(tx); err != nil {
		tx.Fail(err)
	}
}

func (s *Service) subscribe(tx *stack.ServerTxn) error {
	m := tx.Request()
	var u sip.URI
	var buf [uc.MaxAOR]byte
	if err := sip.ParseURI(m.RequestURI(), &u); err != nil {
		return &sip.Error{Code: 400, Err: err}
	}
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return &sip.Error{Code: 404}
	}
	user, ok := s.host.Directory.LookupBytes(aor)
	switch {
	case !ok || !user.Enabled:
		return &sip.Error{Code: 404}
	case tx.Identity().AOR != user.AOR:
		return &sip.Error{Code: 403, Diagnostic: "somebody else's settings"}
	}
	names := usual
	if len(m.Body()) > 0 {
		if names, err = provisioning.Parse(m.Body()); err != nil {
			return &sip.Error{Code: 400, Reason: "Bad Provisioning List", Err: err}
		}
	}
	s.notifier.Subscribe(tx, notify.Request{Resources: []string{string(user.AOR)}, Data: slices.Clone(names), Accept: []string{provisioning.MediaType}, PerWatcher: 64})
	return nil
}

func (s *Service) document(sub *notify.Subscription, _ event.Notice, _ []string) (string, []byte) {
	user, ok := s.host.Directory.Lookup(sub.Watcher.AOR)
	if !ok {
		return "", nil
	}
	return provisioning.MediaType, provisioning.Append(nil, s.groups(user, sub.Data.([]string)))
}

// usual are the groups of a client that names none.
var usual = []string{"ServerConfiguration", "meetingPolicy", "ucPolicy", "endpointConfiguration"}

// groups returns those groups of the named ones that there are.
func (s *Service) groups(u *directory.User, names []string) []provisioning.Group {
	var out []provisioning.Group
	for _, name := range names {
		for _, g := range all {
			if strings.EqualFold(g.name, name) && !slices.ContainsFunc(out, func(o provisioning.Group) bool { return o.Name == g.name }) {
				out = append(out, provisioning.Group{Name: g.name, Layout: g.layout, Settings: g.settings(s, u)})
			}
		}
	}
	return out
}

// all are the groups. Their settings say what there is; conferences, relays, dial
// plans and chat rooms add theirs when they come.
var all = []struct {
	name     string
	layout   provisioning.Layout
	settings func(*Service, *directory.User) []provisioning.Setting
}{
	{"ServerConfiguration", provisioning.Flat, (*Service).serverConfiguration},
	{"ucPolicy", provisioning.Instance, func(s *Service, u *directory.User) []provisioning.Setting {
		return settings("name", "Default", "allowSimultaneousRinging", no, "enableCallTransfer", yesIf(u.Policy.Voice), "enableCallPark", no,
			"allowCallForwarding", no, "enableTeamCall", no, "enableDelegation", no, "enableMaliciousCallTrace", no, "enableBWPolicyOverride", no)
	}},
	{"meetingPolicy", provisioning.Instance, func(_ *Service, u *directory.User) []provisioning.Setting {
		return settings("name", "Default", "allowIPAudio", no, "allowIPVideo", no, "enableDataCollaboration", no, "enableAppDesktopSharing", no,
			"allowAnonymousParticipants", no, "enablePstnConferencing", no, "enableP2PVideo", yesIf(u.Policy.Video), "enableP2PFileTransfer", yes, "allowRecording", no)
	}},
	{"endpointConfiguration", provisioning.Entries, func(_ *Service, u *directory.User) []provisioning.Setting {
		return settings("absUsage", "WebSearchOnly", "EnableTracing", no, "showRecentContacts", yes, "showManagePrivacyRelationships", yes,
			"enableVoipCallDefault", yesIf(u.Policy.Voice), "exchangeContactStoreAllowed", no, "photoUsage", "PhotosFromADOnly",
			"maxPhotoSizeKB", strconv.Itoa(directory.MaxPhoto>>10))
	}},
	{"presencePolicyV2", provisioning.Entries, func(_ *Service, u *directory.User) []provisioning.Setting {
		return settings("MaxCategorySubscription", strconv.Itoa(u.Policy.MaxSubscriptions), "MaxPromptedSubscriber", strconv.Itoa(u.Policy.MaxSubscribers))
	}},
	{"userSetting", provisioning.Entries, func(_ *Service, u *directory.User) []provisioning.Setting {
		return settings("maxContacts", strconv.Itoa(u.Policy.MaxContacts))
	}},
	{"mediaConfiguration", provisioning.Entries, func(*Service, *directory.User) []provisioning.Setting {
		return settings("bypassEnabled", no, "internalBypassMode", "Off", "externalBypassMode", "Off")
	}},
	{"locationPolicy", provisioning.Entries, func(*Service, *directory.User) []provisioning.Setting {
		return settings("EnhancedEmergencyServicesEnabled", no)
	}},
	{"persistentChatConfiguration", provisioning.Entries, func(*Service, *directory.User) []provisioning.Setting {
		return settings("EnablePersistentChat", no)
	}},
}

const yes, no = "true", "false"

func yesIf(b bool) string {
	if b {
		return yes
	}
	return no
}

func settings(nameAndValue ...string) []provisioning.Setting {
	var out []provisioning.Setting
	for i := 0; i < len(nameAndValue); i += 2 {
		out = append(out, provisioning.Setting{Name: nameAndValue[i], Value: nameAndValue[i+1]})
	}
	return out
}

// serverConfiguration leaves out what is not served: without focusFactoryUri there
// are no conferences, without mrasUri no relay. Encryption is optional because phones without it are allowed.
func (s *Service) serverConfiguration(u *directory.User) []provisioning.Setting {
	return append(append(append(s.mediaPorts(), s.addressBook()...), s.relay()...), settings(
		"ucPC2PCAVEncryption", "SupportEncryption",
		"ucMaxVideoRateAllowed", "Hd720p-1.5M",
		"ucEnableSipSecurityMode", "High",
		"ucEnableUserLogging", no,
		"qosEnabled", no,
		"enableBWPolicyCheck", no,
		"updatesServerEnabled", no,
		"loggingLevel", "Off",
	)...)
}

// relay says where clients get credentials for the media relay, when the topology has one for this pool. The service avedge
// answers there.
func (s *Service) relay() []provisioning.Setting {
	if _, ok := s.host.Topology().RelayPool(topology.FQDN(s.host.Node.Pool)); !ok {
		return nil
	}
	return settings("mrasUri", "sip:mras@"+s.host.Node.Pool)
}

// mediaPorts are the ranges of the conferencing configuration at the site of this
// node ([MS-SIPREGE] 2.2.2.5.1), for which the plan has the rules.
func (s *Service) mediaPorts() []provisioning.Setting {
	topo := s.host.Topology()
	var site *topology.Site
	if m, ok := topo.Node(topology.FQDN(s.host.Node.FQDN)); ok {
		site = m.Site
	}
	m := topo.ClientMedia(site)
	if !m.ClientRangesOn() {
		return settings("ucPortRangeEnabled", no)
	}
	out := settings("ucPortRangeEnabled", yes)
	for _, r := range []struct {
		medium string
		ports  topology.PortRange
	}{
		{"Media", m.ClientMedia}, {"SipDynamic", m.ClientSIP}, {"Audio", m.ClientAudio}, {"Video", m.ClientVideo},
		{"AppSharing", m.ClientAppSharing}, {"FileTransfer", m.ClientFile},
	} {
		out = append(out, settings("ucMin"+r.medium+"Port", strconv.Itoa(int(r.ports.Start)), "ucMax"+r.medium+"Port", strconv.Itoa(int(r.ports.Last())))...)
	}
	return out
}
