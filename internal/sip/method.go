package sip

// Method is a request method. Methods that have no constant are OtherMethod; Message.MethodName has their
// spelling. Method names are compared with case (RFC 3261 section 7.1).
type Method uint8

// The methods Parley knows by name.
const (
	OtherMethod Method = iota
	INVITE
	ACK
	BYE
	CANCEL
	REGISTER
	OPTIONS
	PRACK     // RFC 3262
	SUBSCRIBE // RFC 6665
	NOTIFY    // RFC 6665
	PUBLISH   // RFC 3903
	INFO      // RFC 6086
	REFER     // RFC 3515
	MESSAGE   // RFC 3428
	UPDATE    // RFC 3311
	SERVICE   // [MS-SIP]
	BENOTIFY  // [MS-SIP], a NOTIFY without an answer
	NEGOTIATE // [MS-CONMGMT]
	numMethods
)

var methodNames = [numMethods]string{
	"", "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH",
	"INFO", "REFER", "MESSAGE", "UPDATE", "SERVICE", "BENOTIFY", "NEGOTIATE",
}

// String returns the method's name, "OTHER" for OtherMethod.
func (m Method) String() string {
	if m == OtherMethod || m >= numMethods {
		return "OTHER"
	}
	return methodNames[m]
}

// MethodOf returns the constant for a method name, or OtherMethod.
func MethodOf(name []byte) Method {
	switch string(name) {
	case "INVITE":
		return INVITE
	case "ACK":
		return ACK
	case "BYE":
		return BYE
	case "CANCEL":
		return CANCEL
	case "REGISTER":
		return REGISTER
	case "OPTIONS":
		return OPTIONS
	case "PRACK":
		return PRACK
	case "SUBSCRIBE":
		return SUBSCRIBE
	case "NOTIFY":
		return NOTIFY
	case "PUBLISH":
		return PUBLISH
	case "INFO":
		return INFO
	case "REFER":
		return REFER
	case "MESSAGE":
		return MESSAGE
	case "UPDATE":
		return UPDATE
	case "SERVICE":
		return SERVICE
	case "BENOTIFY":
		return BENOTIFY
	case "NEGOTIATE":
		return NEGOTIATE
	}
	return OtherMethod
}
