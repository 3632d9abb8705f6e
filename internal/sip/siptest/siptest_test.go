package siptest_test

import (
	"testing"

	"parley/internal/sip/siptest"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"\n\tOPTIONS a SIP/2.0\n\tTo: b\n\t c\n\t":       "OPTIONS a SIP/2.0\r\nTo: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"OPTIONS a SIP/2.0\n\nbody\n":                    "OPTIONS a SIP/2.0\r\nContent-Length: 6\r\n\r\nbody\r\n",
		"OPTIONS a SIP/2.0\r\nl : 9\r\n\r\nbody":         "OPTIONS a SIP/2.0\r\nl : 9\r\n\r\nbody",
		"OPTIONS a SIP/2.0\n\tcontent-LENGTH: 4\n\nbody": "OPTIONS a SIP/2.0\r\ncontent-LENGTH: 4\r\n\r\nbody",
	} {
		if got := string(siptest.Text(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Every capture of a phone is a good message.
func TestPhones(t *testing.T) {
	for _, c := range siptest.Phones() {
		if err := siptest.ParseBytes(t, c.Raw).Validate(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
