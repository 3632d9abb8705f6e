package porttable

// RoleID names the kind of machine a row is about. Several rows may name a role in different words.
type RoleID string

// The roles of the tables.
const (
	RoleAllServers        RoleID = "all-servers"
	RoleAudio             RoleID = "audio" // every internal server that terminates audio
	RoleFrontEnd          RoleID = "front-end"
	RoleFrontEndMediation RoleID = "front-end-mediation" // a Front End that also runs Mediation
	RoleCentralManagement RoleID = "central-management"  // the one Front End that owns the configuration
	RoleDirector          RoleID = "director"
	RoleMediation         RoleID = "mediation"
	RoleEdge              RoleID = "edge"
	RolePersistentChat    RoleID = "persistent-chat"
	RoleOfficeWebApps     RoleID = "office-web-apps"
	RoleUnifiedMessaging  RoleID = "unified-messaging"
	RoleFrontEndLB        RoleID = "front-end-lb"
	RoleFrontEndMedLB     RoleID = "front-end-mediation-lb"
	RoleDirectorLB        RoleID = "director-lb"
	RoleMediationLB       RoleID = "mediation-lb"
	RoleClient            RoleID = "client"
	RolePhone             RoleID = "phone" // the desk, common-area and conference phones of the last client row
)

// ServiceID names the service that a row belongs to. The same service keeps its id across tables.
type ServiceID string

var roleIDs = map[string]RoleID{
	"All servers": RoleAllServers,
	"All internal servers that terminate audio":             RoleAudio,
	"Front End Server":                                      RoleFrontEnd,
	"Front End Server with collocated Mediation Server":     RoleFrontEndMediation,
	"Front End Server hosting the Central Management store": RoleCentralManagement,
	"Director":                         RoleDirector,
	"Mediation Server":                 RoleMediation,
	"Persistent Chat Front End Server": RolePersistentChat,
	"Office Web Apps Server":           RoleOfficeWebApps,
	"Front End Server load balancer":   RoleFrontEndLB,
	"Front End Server load balancer (pool also runs Mediation Server)": RoleFrontEndMedLB,
	"Director load balancer":         RoleDirectorLB,
	"Mediation Server load balancer": RoleMediationLB,
	"Clients":                        RoleClient,
	"Aastra 6721ip, Aastra 6725ip, HP 4110, HP 4120, Polycom CX500, CX600, CX700, CX3000 phones": RolePhone,
}

var serviceIDs = map[string]ServiceID{
	"SQL Browser":                            "sql-browser",
	"Front-End service":                      "frontend",
	"IM Conferencing service":                "imconf",
	"Web Conferencing service":               "webconf",
	"Web Conferencing Compatibility service": "webconf-compat",
	"Audio/Video Conferencing service":       "avconf",
	"Web Compatibility service":              "web",
	"Web server component":                   "web",
	"Web":                                    "web",
	"Mobility Services component":            "mobility",
	"Conferencing Attendant service (dial-in conferencing)": "attendant",
	"Conferencing Attendant":                                "attendant",
	"Mediation service":                                     "mediation",
	"Mediation":                                             "mediation",
	"Application Sharing service":                           "appshare",
	"Application sharing":                                   "appshare",
	"Conferencing Announcement service":                     "announce",
	"Conferencing Announcement":                             "announce",
	"Call Park service":                                     "callpark",
	"Call Park":                                             "callpark",
	"Audio Test service":                                    "audiotest",
	"Audio Test":                                            "audiotest",
	"Not applicable":                                        "e911",
	"Response Group service":                                "responsegroup",
	"Response Group":                                        "responsegroup",
	"Bandwidth Policy service":                              "bandwidth",
	"Bandwidth Policy":                                      "bandwidth",
	"Bandwidth Policy (TURN)":                               "bandwidth",
	"File share access":                                     "fileshare",
	"Master Replicator Agent service":                       "replicator",
	"Various":                                               "audio",
	"Persistent Chat SIP":                                   "pchat",
	"Persistent Chat WCF":                                   "pchat",
	"Persistent Chat File Transfer Service":                 "pchat-file",
	"":                                                      "office-web-apps",
	"Registrar discovery":                                   "discovery",
	"SIP":                                                   "sip",
	"Web conferencing":                                      "webconf",
	"STUN/TURN":                                             "turn",
	"Legacy file transfer":                                  "legacy-file-transfer",
	"Audio media":                                           "audio",
	"Video media":                                           "video",
	"Peer-to-peer file transfer":                            "file-transfer",
	"Phone bootstrap":                                       "phone-bootstrap",
}

// exceptionRoles maps the rules of the IPsec table to the role whose media they exempt.
var exceptionRoles = map[string]RoleID{
	"A/V Edge Server Internal Inbound":    RoleEdge,
	"A/V Edge Server External Inbound":    RoleEdge,
	"A/V Edge Server Internal Outbound":   RoleEdge,
	"A/V Edge Server External Outbound":   RoleEdge,
	"Mediation Server Inbound":            RoleMediation,
	"Mediation Server Outbound":           RoleMediation,
	"Conferencing Attendant Inbound":      RoleFrontEnd,
	"Conferencing Attendant Outbound":     RoleFrontEnd,
	"A/V Conferencing Inbound":            RoleFrontEnd,
	"A/V Conferencing Outbound":           RoleFrontEnd,
	"Exchange Inbound":                    RoleUnifiedMessaging,
	"Exchange Outbound":                   RoleUnifiedMessaging,
	"Application Sharing Servers Inbound": RoleFrontEnd,
	"Application Sharing Server Outbound": RoleFrontEnd,
	"Clients":                             RoleClient,
}
