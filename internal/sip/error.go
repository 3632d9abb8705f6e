package sip

import (
	"fmt"
	"strconv"
)

// Error is a refusal in SIP's own terms: what a handler returns to have a request answered with it.
type Error struct {
	Code       int      // status code, 300 to 699
	Reason     string   // reason phrase; empty takes the usual one
	Diagnostic string   // text for the log and, where a service wants it, for a Warning header
	Err        error    // cause, for the log only
	Headers    []Header // header fields of the answer, such as Retry-After
}

// Errorf makes an Error with a status code and a diagnostic text.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Diagnostic: fmt.Sprintf(format, args...)}
}

// Error returns code, reason, diagnostic and cause as one line.
func (e *Error) Error() string {
	r := e.Reason
	if r == "" {
		r = StatusText(e.Code)
	}
	s := strconv.Itoa(e.Code) + " " + r
	if e.Diagnostic != "" {
		s += ": " + e.Diagnostic
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ParseError says what is wrong with received bytes and which status code answers it. For a response or an
// ACK nothing is sent: it is dropped.
type ParseError struct {
	Code     int    // status code that answers it: 400, 413, 505 or 513
	Offset   int    // byte offset in what was given to the parser
	Expected string // what should have been there, in a few words
}

// Error names the offset and what was expected.
func (e *ParseError) Error() string {
	return "sip: expected " + e.Expected + " at byte " + strconv.Itoa(e.Offset)
}

// As lets errors.As turn a ParseError into the *Error that answers it.
func (e *ParseError) As(target any) bool {
	t, ok := target.(**Error)
	if !ok {
		return false
	}
	*t = &Error{Code: e.Code, Diagnostic: "expected " + e.Expected + " at byte " + strconv.Itoa(e.Offset)}
	return true
}

func bad(offset int, expected string) *ParseError {
	return &ParseError{Code: 400, Offset: offset, Expected: expected}
}
