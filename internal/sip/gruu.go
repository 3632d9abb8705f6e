package sip

// IsGRUU reports whether the URI names one endpoint of a user: it has the gr parameter of RFC 5627, with the
// instance id as value for a public GRUU and without for a temporary one.
func (u *URI) IsGRUU() bool { return u.Kind == SIPURI && u.Params.Has("gr") }

// GRUU returns the gr parameter with its escapes undone, nil when there is none. It allocates only for escapes.
func (u *URI) GRUU() []byte { return u.unescaped("gr") }

// Opaque returns the opaque parameter by which endpoints of [MS-SIPRE] are named, with its escapes undone, nil
// when there is none.
func (u *URI) Opaque() []byte { return u.unescaped("opaque") }

// Outbound reports whether the URI has the ob parameter: its owner wants requests over the flow it was
// registered on (RFC 5626 section 4.3).
func (u *URI) Outbound() bool { return u.Params.Has("ob") }

func (u *URI) unescaped(name string) []byte {
	v, ok := u.Params.Get(name)
	if !ok {
		return nil
	}
	for _, c := range v {
		if c == '%' {
			return AppendUnescape(make([]byte, 0, len(v)), v)
		}
	}
	return v
}

// AppendGRUU appends the public GRUU of a user's instance: the address of record with the instance id as gr
// (RFC 5627 section 5.1). aor is a sip URI without parameters; instance comes from
// NameAddr.Instance.
func AppendGRUU(dst, aor, instance []byte) []byte {
	dst = appendClean(dst, aor)
	dst = append(dst, ";gr="...)
	return AppendParamValue(dst, instance)
}

// AppendParamValue appends v as the value of a URI parameter, with escapes where the grammar wants them.
func AppendParamValue[T []byte | string](dst []byte, v T) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(v) {
		if c := v[i]; is(c, cParam) && c != '%' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
