package interwork

import (
	"bytes"

	"parley/internal/sdp"
	"parley/internal/sip"
)

const sdpType = "application/sdp"

// described finds the session description in the body of a message; nil when there is none that could be understood. Of
// alternatives it is the last one, which is the sender's best (RFC 2046 5.1.4): a Lync client puts one for peers of
// 2007 first. Of other multipart bodies it is the first.
func described(m *sip.Message) []byte {
	t, ok := m.ContentType()
	if !ok || m.Has(sip.HContentEncoding) || len(m.Body()) == 0 {
		return nil
	}
	if t.Is(sdpType) {
		return m.Body()
	}
	if !bytes.EqualFold(t.Type, []byte("multipart")) {
		return nil
	}
	alternative := bytes.EqualFold(t.Subtype, []byte("alternative"))
	var found []byte
	for p, err := range sip.Parts(t.Params, m.Body()) {
		if err != nil {
			break
		}
		var pt sip.MediaType
		if sip.ParseMediaType(p.Header("Content-Type"), &pt) != nil || !pt.Is(sdpType) {
			continue
		}
		if alternative && found != nil && bytes.Contains(p.Header("Content-Disposition"), []byte("ms-proxy-2007fallback")) {
			continue
		}
		found = p.Body
		if !alternative {
			break
		}
	}
	return found
}

// bodyOf is a description as it is sent.
func bodyOf(d *sdp.Description) *sip.Body { return &sip.Body{Type: sdpType, Data: d.Append(nil)} }
