package sip

import "strconv"

// Response is what a response says beyond what it copies from the request.
type Response struct {
	Code        int    // 100 to 699
	Reason      string // empty takes StatusText
	ToTag       string // put on To if the request had none there; empty leaves To as it is, as for 100
	Headers     []Header
	ContentType string
	Body        []byte
	RecordRoute bool // copy Record-Route, as responses that make a dialog do (RFC 3261 section 12.1.1)
}

// Append appends the response to req to dst (RFC 3261 section 8.2.6). Via, From, To, Call-ID and CSeq are
// copied as they came; where req.Source is set, received and rport are filled in to the topmost Via. req must be
// Answerable.
func (r *Response) Append(dst []byte, req *Message) []byte {
	raw := req.raw
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(r.Code), 10)
	dst = append(dst, ' ')
	if r.Reason != "" {
		dst = appendClean(dst, r.Reason)
	} else {
		dst = append(dst, StatusText(r.Code)...)
	}
	dst = append(dst, '\r', '\n')

	top := req.Source.IsValid()
	for i := int(req.first[HVia]) - 1; i >= 0 && i < len(req.fields); i++ {
		f := &req.fields[i]
		if f.id != HVia {
			continue
		}
		if !top {
			dst = append(dst, req.line(i)...)
			continue
		}
		top = false
		dst = append(dst, raw[f.start:f.value]...)
		item, rest := cutList(raw[f.value:f.end])
		dst = appendReceived(dst, item, req.Source)
		if len(rest) > 0 {
			dst = append(dst, ',')
			dst = append(dst, rest...)
		}
		dst = append(dst, '\r', '\n')
	}
	if r.RecordRoute {
		for i := int(req.first[HRecordRoute]) - 1; i >= 0 && i < len(req.fields); i++ {
			if req.fields[i].id == HRecordRoute {
				dst = append(dst, req.line(i)...)
			}
		}
	}
	dst = req.appendLine(dst, HFrom)
	if i := int(req.first[HTo]) - 1; i >= 0 && r.ToTag != "" && req.ToTag() == nil {
		f := &req.fields[i]
		dst = append(dst, raw[f.start:f.end]...)
		dst = append(dst, ";tag="...)
		dst = appendClean(dst, r.ToTag)
		dst = append(dst, '\r', '\n')
	} else {
		dst = req.appendLine(dst, HTo)
	}
	dst = req.appendLine(dst, HCallID)
	dst = req.appendLine(dst, HCSeq)
	if r.Code == 100 {
		dst = req.appendLine(dst, HTimestamp) // RFC 3261 section 8.2.6.1
	}
	dst = appendHeaders(dst, r.Headers)
	return appendBody(dst, r.ContentType, r.Body)
}

// AppendResponse appends a response without body to dst. See Response for what it consists of.
func AppendResponse(dst []byte, req *Message, code int, reason, toTag string, extra ...Header) []byte {
	r := Response{Code: code, Reason: reason, ToTag: toTag, Headers: extra}
	return r.Append(dst, req)
}

// AppendError appends the response an Error stands for to dst.
func AppendError(dst []byte, req *Message, e *Error, toTag string) []byte {
	return AppendResponse(dst, req, e.Code, e.Reason, toTag, e.Headers...)
}

// AppendAck appends the ACK for a final response above 299 to dst: the ACK that belongs to the transaction of
// invite (RFC 3261 section 17.1.1.3). invite is the request as it was sent, with our Via on top.
func AppendAck(dst []byte, invite, resp *Message) []byte {
	dst = invite.appendHop(dst, ACK)
	if resp.Has(HTo) {
		dst = resp.appendLine(dst, HTo)
	} else {
		dst = invite.appendLine(dst, HTo)
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// AppendCancel appends the CANCEL for invite to dst (RFC 3261 section 9.1). invite is the request as it was
// sent, with our Via on top. extra are further fields, such as Reason.
func AppendCancel(dst []byte, invite *Message, extra ...Header) []byte {
	dst = invite.appendHop(dst, CANCEL)
	dst = invite.appendLine(dst, HTo)
	dst = appendHeaders(dst, extra)
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// appendHop appends the part ACK and CANCEL have in common: request line, topmost Via alone, Routes, From,
// Call-ID, CSeq with the other method, Max-Forwards.
func (m *Message) appendHop(dst []byte, method Method) []byte {
	dst = append(dst, methodNames[method]...)
	dst = append(dst, ' ')
	dst = append(dst, m.RequestURI()...)
	dst = append(dst, " SIP/2.0\r\n"...)
	vias := m.Values(HVia)
	if v, ok := vias.Next(); ok {
		dst = appendField(dst, "Via", v)
	}
	for i := int(m.first[HRoute]) - 1; i >= 0 && i < len(m.fields); i++ {
		if m.fields[i].id == HRoute {
			dst = append(dst, m.line(i)...)
		}
	}
	dst = append(dst, "Max-Forwards: 70\r\n"...)
	dst = m.appendLine(dst, HFrom)
	dst = m.appendLine(dst, HCallID)
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(m.cseq), 10)
	dst = append(dst, ' ')
	dst = append(dst, methodNames[method]...)
	return append(dst, '\r', '\n')
}

// appendLine appends the first field with this id as it came, nothing if there is none.
func (m *Message) appendLine(dst []byte, id HeaderID) []byte {
	if i := m.first[id]; i != 0 {
		dst = append(dst, m.line(int(i)-1)...)
	}
	return dst
}

// appendBody appends Content-Type and Content-Length, the blank line and the body.
func appendBody(dst []byte, ctype string, body []byte) []byte {
	if ctype != "" && len(body) > 0 {
		dst = appendField(dst, "Content-Type", ctype)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}
