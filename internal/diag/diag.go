// Package diag is the table of error reports ([MS-OCER]): the numbers by which
// clients are told why a request was refused, the text they show to their users,
// and what it means to the administrator. No number is written anywhere else.
//
// On SIP a report is the field ms-diagnostics of a response, or
// ms-diagnostics-public, which names no server and may be shown to anybody. On
// the web it is X-Ms-diagnostics, or part of a SOAP fault.
package diag

import (
	"strconv"
	"strings"

	"parley/internal/sip"
)

// ID is an ErrorId of [MS-OCER] 2.2.1.
type ID uint16

// The reports that this server makes.
const (
	HandshakeFailed   ID = 1000
	RouteEnded        ID = 1004
	NoRouteToDomain   ID = 1005
	ConnectionEnded   ID = 1006
	ServerUnreachable ID = 1007
	ClockSkew         ID = 1013
	GRUURequired      ID = 2057
	NotHisAddress     ID = 4004
	UnknownRecipient  ID = 4005
	NotInPool         ID = 4006
	NoEndpointID      ID = 4010
	LongEPID          ID = 4012
	RegisterEvent     ID = 4055
	UserDisabled      ID = 4141

	WebRequest       ID = 28000
	WebNoTicket      ID = 28020
	WebTicketInvalid ID = 28032
	WebTicketExpired ID = 28033
)

// Channel is how a report reaches its reader.
type Channel uint8

// The channels.
const (
	Private Channel = iota // ms-diagnostics: with the name of the server
	Public                 // ms-diagnostics-public
	Web                    // X-Ms-diagnostics, or the fault of a web service
)

// String returns the name of the field.
func (c Channel) String() string {
	return [...]string{"ms-diagnostics", "ms-diagnostics-public", "X-Ms-diagnostics"}[c]
}

// Entry is a row of the table.
type Entry struct {
	ID      ID
	Status  int // of the SIP or HTTP answer that carries it
	Channel Channel
	Reason  string // what clients show to their users
	Meaning string // what the administrator makes of it
}

var table = [...]Entry{
	{HandshakeFailed, 401, Private, "Final handshake failed",
		"Wrong password, a signature that does not fit, or a token that cannot be read; the text after it says which. The client may begin anew."},
	{RouteEnded, 403, Private, "Route set is no longer valid",
		"A request in a call or chat has a route that this server did not make, or made with another key. The call began on another deployment, or somebody tries."},
	{NoRouteToDomain, 403, Private, "Cannot route to destination domain",
		"The address is in no domain of this server and no static route leads there, or the sender is in no domain of this server."},
	{ConnectionEnded, 430, Private, "Error routing on client connection",
		"The connection to the client that the call goes to has ended. It is reached again when the client has signed in anew."},
	{ServerUnreachable, 480, Private, "Temporarily cannot route",
		"The user is signed in on another member of the pool, or served by another pool, that does not answer. Look at that server and at port 5061 between the two."},
	{ClockSkew, 401, Private, "Clock skew in authentication",
		"The clocks of client and server differ by more than 5 minutes (Kerberos) or 15 minutes (NTLM). Set the clock of the one that is wrong."},
	{GRUURequired, 421, Public, "gruu-10 is required",
		"The client wants enhanced presence and does not support GRUUs: it is broken or very old."},
	{NotHisAddress, 403, Public, "Credentials provided are not authorized to act as specified From URI",
		"Somebody signed in with the credentials of another user than the address that the client was given. Check sign-in address and user name in the client."},
	{UnknownRecipient, 404, Private, "Destination URI is not enabled for SIP or does not exist",
		"There is no such user or number, or the user is disabled."},
	{NotInPool, 404, Private, "User not found in pool",
		"Who signs in is no user of this deployment: a wrong address in the client, or the user was removed."},
	{NoEndpointID, 400, Private, "Missing epid and sip.instance",
		"The client does not say which of the user's devices it is, and cannot be served."},
	{LongEPID, 400, Private, "The epid is too long",
		"The client names its device with more than 16 characters, and cannot be served."},
	{RegisterEvent, 489, Private, "Event of REGISTER is not registration",
		"The client asks for notices that do not come with registering."},
	{UserDisabled, 403, Public, "User disabled",
		"The user was disabled (parley user enable ADDRESS takes that back) or removed."},
	{WebRequest, 500, Web, "The request cannot be read",
		"A web service was sent something it does not understand."},
	{WebNoTicket, 500, Web, "No valid security token",
		"A web service was asked without a web ticket, or for somebody else than the ticket is for."},
	{WebTicketInvalid, 401, Web, "The web ticket is invalid",
		"The ticket was issued for another service or by another server, or was changed. The client fetches a new one."},
	{WebTicketExpired, 401, Web, "The web ticket has expired",
		"The client fetches a new one by itself. If it comes back with it at once, the clocks of servers differ."},
}

// Table returns the rows, ordered by ID.
func Table() []Entry { return append([]Entry(nil), table[:]...) }

// Entry returns the row of an ID.
func (id ID) Entry() Entry {
	for _, e := range table {
		if e.ID == id {
			return e
		}
	}
	return Entry{ID: id, Status: 500, Reason: "Internal error"}
}

// Header returns the field that goes with a refusal of source, the name of this
// server, which a public report leaves out. detail, if not empty, is added to the
// reason: it must not tell strangers anything.
func (id ID) Header(source, detail string) sip.Header {
	e := id.Entry()
	v := strconv.Itoa(int(id)) + `;reason="` + e.reason(detail) + `"`
	if e.Channel == Private && source != "" {
		v += `;source="` + quotable(source) + `"`
	}
	return sip.Header{Name: e.Channel.String(), Value: v}
}

// Error returns the refusal with the status of the table and the field of Header.
// diagnostic is for the log.
func (id ID) Error(source, diagnostic string) *sip.Error {
	return id.On(source, &sip.Error{Code: id.Entry().Status, Diagnostic: diagnostic})
}

// On adds the field of Header to a refusal and returns it.
func (id ID) On(source string, e *sip.Error) *sip.Error {
	e.Headers = append(e.Headers, id.Header(source, ""))
	return e
}

// WebValue returns the value of X-Ms-diagnostics ([MS-OCAUTHWS] 2.2).
func (id ID) WebValue(source, detail string) string {
	return strconv.Itoa(int(id)) + `;source="` + quotable(source) + `";reason="` + id.Entry().reason(detail) + `"`
}

func (e Entry) reason(detail string) string {
	if detail == "" {
		return e.Reason
	}
	return e.Reason + ": " + quotable(detail)
}

// quotable makes a text safe within quotes: clients look for the next quote and
// know no escapes.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"', r == '\\':
			return '\''
		case r < ' ', r == 0x7f:
			return ' '
		}
		return r
	}, s)
}
