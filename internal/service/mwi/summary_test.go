package mwi

import (
	"reflect"
	"testing"

	"parley/internal/contract/mwi"
)

// RFC 3842 section 5.2, with the account of the tests.
const sample = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.test\r\nVoice-Message: 4/8 (1/2)\r\nFax-Message: 0/1\r\n"

func TestSummary(t *testing.T) {
	want := mwi.Counts{mwi.Voice: {New: 4, Old: 8, NewUrgent: 1, OldUrgent: 2}, mwi.Fax: {Old: 1}}
	got, err := parse([]byte(sample))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, %v", got, err)
	}
	if text := string(summary("alice@example.test", got)); text != sample {
		t.Errorf("printed\n%s", text)
	}
	if text := string(summary("alice@example.test", nil)); text != "Messages-Waiting: no\r\nMessage-Account: sip:alice@example.test\r\n" {
		t.Errorf("an empty mailbox is\n%s", text)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]mwi.Counts{
		"Messages-Waiting: no\r\n":                                   {},
		"messages-waiting: YES\nvoice-message: 2/0\n":                {mwi.Voice: {New: 2}},
		"Messages-Waiting: yes\r\n":                                  {mwi.Voice: {New: 1}},
		"Messages-Waiting: no\r\nX: y\r\n\r\nSubject: not a field\n": {},
	} {
		if got, err := parse([]byte(in)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "Voice-Message: 1/1\r\n", "Messages-Waiting: perhaps\r\n", "Messages-Waiting: yes\r\nVoice-Message: 1\r\n",
		"Messages-Waiting: yes\r\nVoice-Message: -1/1\r\n", "Messages-Waiting: yes\r\nVoice-Message: 1/1 (2/0)\r\n", "hello"} {
		if got, err := parse([]byte(in)); err == nil {
			t.Errorf("%q accepted as %v", in, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(summary("alice@example.test", c))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%q: %v, then %v, %v", b, c, again, err)
		}
	})
}
