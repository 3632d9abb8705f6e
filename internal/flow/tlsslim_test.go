package flow

import "testing"

// TestSlimFields: the buffers of a tls.Conn are where this version of crypto/tls is expected to have them.
func TestSlimFields(t *testing.T) {
	if !slim.ok {
		t.Error("crypto/tls has changed: idle TLS connections keep their buffers")
	}
}
