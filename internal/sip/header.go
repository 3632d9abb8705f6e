package sip

// Header is a header field to be written: name and value as they shall appear on the wire. A CR or LF in
// either is written as a space, so a value can never become a field of its own.
type Header struct {
	Name  string
	Value string
}

// HeaderID is a small number for a header field name, the same for long and compact form. Names without one
// are HOther and are found with Message.HeaderNamed.
type HeaderID uint8

// The header fields with an id.
const (
	HOther HeaderID = iota
	HVia
	HFrom
	HTo
	HCallID
	HCSeq
	HMaxForwards
	HContact
	HContentLength
	HContentType
	HRoute
	HRecordRoute
	HPath
	HServiceRoute
	HAuthorization
	HProxyAuthorization
	HWWWAuthenticate
	HProxyAuthenticate
	HAuthenticationInfo
	HProxyAuthenticationInfo
	HExpires
	HMinExpires
	HSupported
	HRequire
	HProxyRequire
	HUnsupported
	HAllow
	HAllowEvents
	HEvent
	HSubscriptionState
	HSIPETag
	HSIPIfMatch
	HAccept
	HAcceptEncoding
	HAcceptLanguage
	HContentEncoding
	HContentDisposition
	HContentLanguage
	HDate
	HUserAgent
	HServer
	HRetryAfter
	HReason
	HReferTo
	HReferredBy
	HReplaces
	HJoin
	HSessionExpires
	HMinSE
	HRSeq
	HRAck
	HSubject
	HTimestamp
	HOrganization
	HPriority
	HWarning
	HErrorInfo
	HAlertInfo
	HCallInfo
	HInReplyTo
	HReplyTo
	HMIMEVersion
	HPrivacy
	HPAssertedIdentity
	HPPreferredIdentity
	HPAssociatedURI
	HHistoryInfo
	HDiversion
	HAcceptContact
	HRejectContact
	HRequestDisposition
	HIdentity
	HMaxBreadth
	HFlowTimer
	HTargetDialog
	HAnswerMode
	HSubscriptionExpires // [MS-SIP]
	numHeaders
)

type headerInfo struct {
	name    string
	compact byte // the one-letter form, or 0
	list    bool // the value is a comma-separated list (RFC 3261 section 7.3.1)
	single  bool // a second field of this name makes the message invalid
}

var headers = [numHeaders]headerInfo{
	HVia:                     {"Via", 'v', true, false},
	HFrom:                    {"From", 'f', false, true},
	HTo:                      {"To", 't', false, true},
	HCallID:                  {"Call-ID", 'i', false, true},
	HCSeq:                    {"CSeq", 0, false, true},
	HMaxForwards:             {"Max-Forwards", 0, false, true},
	HContact:                 {"Contact", 'm', true, false},
	HContentLength:           {"Content-Length", 'l', false, true},
	HContentType:             {"Content-Type", 'c', false, true},
	HRoute:                   {"Route", 0, true, false},
	HRecordRoute:             {"Record-Route", 0, true, false},
	HPath:                    {"Path", 0, true, false},
	HServiceRoute:            {"Service-Route", 0, true, false},
	HAuthorization:           {"Authorization", 0, false, false},
	HProxyAuthorization:      {"Proxy-Authorization", 0, false, false},
	HWWWAuthenticate:         {"WWW-Authenticate", 0, false, false},
	HProxyAuthenticate:       {"Proxy-Authenticate", 0, false, false},
	HAuthenticationInfo:      {"Authentication-Info", 0, false, false},
	HProxyAuthenticationInfo: {"Proxy-Authentication-Info", 0, false, false},
	HExpires:                 {"Expires", 0, false, true},
	HMinExpires:              {"Min-Expires", 0, false, true},
	HSupported:               {"Supported", 'k', true, false},
	HRequire:                 {"Require", 0, true, false},
	HProxyRequire:            {"Proxy-Require", 0, true, false},
	HUnsupported:             {"Unsupported", 0, true, false},
	HAllow:                   {"Allow", 0, true, false},
	HAllowEvents:             {"Allow-Events", 'u', true, false},
	HEvent:                   {"Event", 'o', false, true},
	HSubscriptionState:       {"Subscription-State", 0, false, true},
	HSIPETag:                 {"SIP-ETag", 0, false, true},
	HSIPIfMatch:              {"SIP-If-Match", 0, false, true},
	HAccept:                  {"Accept", 0, true, false},
	HAcceptEncoding:          {"Accept-Encoding", 0, true, false},
	HAcceptLanguage:          {"Accept-Language", 0, true, false},
	HContentEncoding:         {"Content-Encoding", 'e', true, false},
	HContentDisposition:      {"Content-Disposition", 0, false, true},
	HContentLanguage:         {"Content-Language", 0, true, false},
	HDate:                    {"Date", 0, false, true},
	HUserAgent:               {"User-Agent", 0, false, false},
	HServer:                  {"Server", 0, false, false},
	HRetryAfter:              {"Retry-After", 0, false, true},
	HReason:                  {"Reason", 0, true, false},
	HReferTo:                 {"Refer-To", 'r', false, true},
	HReferredBy:              {"Referred-By", 'b', false, true},
	HReplaces:                {"Replaces", 0, false, true},
	HJoin:                    {"Join", 0, false, true},
	HSessionExpires:          {"Session-Expires", 'x', false, true},
	HMinSE:                   {"Min-SE", 0, false, true},
	HRSeq:                    {"RSeq", 0, false, true},
	HRAck:                    {"RAck", 0, false, true},
	HSubject:                 {"Subject", 's', false, false},
	HTimestamp:               {"Timestamp", 0, false, false},
	HOrganization:            {"Organization", 0, false, false},
	HPriority:                {"Priority", 0, false, false},
	HWarning:                 {"Warning", 0, true, false},
	HErrorInfo:               {"Error-Info", 0, true, false},
	HAlertInfo:               {"Alert-Info", 0, true, false},
	HCallInfo:                {"Call-Info", 0, true, false},
	HInReplyTo:               {"In-Reply-To", 0, true, false},
	HReplyTo:                 {"Reply-To", 0, false, false},
	HMIMEVersion:             {"MIME-Version", 0, false, false},
	HPrivacy:                 {"Privacy", 0, false, false},
	HPAssertedIdentity:       {"P-Asserted-Identity", 0, true, false},
	HPPreferredIdentity:      {"P-Preferred-Identity", 0, true, false},
	HPAssociatedURI:          {"P-Associated-URI", 0, true, false},
	HHistoryInfo:             {"History-Info", 0, true, false},
	HDiversion:               {"Diversion", 0, true, false},
	HAcceptContact:           {"Accept-Contact", 'a', true, false},
	HRejectContact:           {"Reject-Contact", 'j', true, false},
	HRequestDisposition:      {"Request-Disposition", 'd', true, false},
	HIdentity:                {"Identity", 'y', false, false},
	HMaxBreadth:              {"Max-Breadth", 0, false, true},
	HFlowTimer:               {"Flow-Timer", 0, false, true},
	HTargetDialog:            {"Target-Dialog", 0, false, true},
	HAnswerMode:              {"Answer-Mode", 0, false, false},
	HSubscriptionExpires:     {"Subscription-Expires", 0, false, false},
}

// String returns the long form of the name, or "" for HOther.
func (id HeaderID) String() string {
	if id >= numHeaders {
		return ""
	}
	return headers[id].name
}

// List reports whether values of the field are separated by commas, so that one field can carry several.
func (id HeaderID) List() bool { return id < numHeaders && headers[id].list }

var (
	nameHash    [512]HeaderID // by hashName; a collision is found at start
	compactName [256]HeaderID // by lower-case letter
)

// hashName is a perfect hash over the names above: it reads the length and three bytes.
func hashName(n []byte) uint {
	l := uint(len(n))
	return (l*hashLen + uint(n[0]|0x20)*hashFirst + uint(n[l/2]|0x20)*hashMid + uint(n[l-1]|0x20)*hashLast) & 511
}

const hashLen, hashFirst, hashMid, hashLast = 510, 89, 417, 134

func init() {
	for id := HVia; id < numHeaders; id++ {
		h := headers[id]
		if c := h.compact; c != 0 {
			compactName[c] = id
		}
		if slot := &nameHash[hashName([]byte(h.name))]; *slot == HOther {
			*slot = id
		} else {
			panic("sip: header names collide: " + h.name + ", " + slot.String())
		}
	}
}

// HeaderIDOf returns the id of a header field name in long or compact form, or HOther.
func HeaderIDOf(name []byte) HeaderID {
	if len(name) < 2 {
		if len(name) == 0 {
			return HOther
		}
		return compactName[lower(name[0])]
	}
	id := nameHash[hashName(name)]
	if n := headers[id].name; string(name) != n && !equalFold(name, n) {
		return HOther
	}
	return id
}
