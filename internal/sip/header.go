package sip

import "encoding/binary"

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

// Names are found in two steps. Most peers use the usual spelling, and that is recognised by comparing its first
// and last eight bytes as numbers. Other spellings take a perfect hash over a few letters and a comparison
// without case.
type nameKey struct {
	head, tail uint64 // the first and the last eight bytes; a shorter name is padded and has no tail
	len        int
}

var (
	usualHash   [1024]HeaderID // by nameKey.hash
	usualKey    [numHeaders]nameKey
	anyHash     [512]HeaderID // by hashName
	compactName [256]HeaderID // by letter, in both cases
)

func (k nameKey) hash() uint64 { return (k.head*usualHead ^ k.tail*usualTail) >> 54 }

// keyOf reads the key of the name of n bytes at raw[pos]. Eight bytes must be there.
func keyOf(raw []byte, pos, n int) nameKey {
	k := nameKey{head: binary.LittleEndian.Uint64(raw[pos:]), len: n}
	if n < 8 {
		k.head &= 1<<(8*n) - 1
	} else {
		k.tail = binary.LittleEndian.Uint64(raw[pos+n-8:])
	}
	return k
}

// hashName does not see case: it reads the length and three letters.
func hashName[T []byte | string](n T) uint {
	l := uint(len(n))
	return (l*510 + uint(n[0]|0x20)*89 + uint(n[l/2]|0x20)*417 + uint(n[l-1]|0x20)*134) & 511
}

const usualHead, usualTail = 0x63d2e49085ef3431, 0x3e0a813bdc2ae99 // found by trying

func init() {
	put := func(slot *HeaderID, id HeaderID) {
		if *slot != HOther {
			panic("sip: header names collide: " + id.String() + ", " + slot.String())
		}
		*slot = id
	}
	for id := HVia; id < numHeaders; id++ {
		h := &headers[id]
		if c := h.compact; c != 0 {
			put(&compactName[c], id)
			put(&compactName[c-0x20], id)
		}
		put(&anyHash[hashName(h.name)], id)
		usualKey[id] = keyOf([]byte(h.name+"\x00\x00\x00\x00\x00\x00\x00\x00"), 0, len(h.name))
		put(&usualHash[usualKey[id].hash()], id)
	}
}

// headerID returns the id of the name of n bytes at raw[pos].
func headerID(raw []byte, pos, n int) HeaderID {
	if n > 1 && pos+8 <= len(raw) {
		k := keyOf(raw, pos, n)
		if id := usualHash[k.hash()]; usualKey[id] == k && (n <= 16 || string(raw[pos:pos+n]) == headers[id].name) {
			return id
		}
	}
	return HeaderIDOf(raw[pos : pos+n])
}

// HeaderIDOf returns the id of a header field name in long or compact form, or HOther.
func HeaderIDOf[T []byte | string](name T) HeaderID {
	if len(name) < 2 {
		if len(name) == 0 {
			return HOther
		}
		return compactName[name[0]]
	}
	id := anyHash[hashName(name)]
	if !equalFold(name, headers[id].name) {
		return HOther
	}
	return id
}
