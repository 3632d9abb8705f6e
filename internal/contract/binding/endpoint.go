package binding

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"parley/internal/sip"
	"parley/internal/uc"
)

// Lync-protocol clients have GRUUs of their own kind ([MS-SIPRE] 2.2.3), and
// names for devices that are derived from each other: an epid makes an
// instance, an instance makes the GRUU.

// AppendEndpoint appends the URI of one endpoint of a user, and reports whether
// it has one: its instance must be a UUID.
func AppendEndpoint(dst []byte, aor uc.AOR, instance string) ([]byte, bool) {
	id, ok := EndpointID(instance)
	if !ok {
		return dst, false
	}
	dst = append(dst, "sip:"...)
	dst = sip.AppendEscape(dst, aor.User())
	dst = append(append(append(dst, '@'), aor.Domain()...), ";opaque=user:epid:"...)
	return append(append(dst, id...), ";gruu"...), true
}

// EndpointOf returns which endpoint a URI names, if it is of this kind.
func EndpointOf(u *sip.URI) (id string, ok bool) {
	opaque, found := strings.CutPrefix(string(u.Opaque()), "user:epid:")
	return opaque, found && u.Params.Has("gruu")
}

// EndpointID encodes the UUID of an instance: its bytes in the order of a
// GUID, two zero bytes, in base64 for URLs.
func EndpointID(instance string) (string, bool) {
	const urn = "urn:uuid:"
	if len(instance) != len(urn)+36 || !strings.EqualFold(instance[:len(urn)], urn) {
		return "", false
	}
	text := instance[len(urn):]
	var u [18]byte
	if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return "", false
	}
	if n, err := hex.Decode(u[:], []byte(strings.ReplaceAll(text, "-", ""))); err != nil || n != 16 {
		return "", false
	}
	swapGUID(u[:])
	return base64.URLEncoding.EncodeToString(u[:]), true
}

// InstanceOf derives the instance of an epid ([MS-SIPRE] 3.2).
func InstanceOf(epid string) string {
	// fcacfb03-8a73-46ef-91b1-e5ebeeaba4fe in the order of a GUID
	space := [16]byte{0x03, 0xfb, 0xac, 0xfc, 0x73, 0x8a, 0xef, 0x46, 0x91, 0xb1, 0xe5, 0xeb, 0xee, 0xab, 0xa4, 0xfe}
	sum := sha1.Sum(append(space[:], epid...))
	u := sum[:16]
	swapGUID(u)
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	s := hex.EncodeToString(u)
	return "urn:uuid:" + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// swapGUID exchanges the order of bytes of RFC 4122 and that of a GUID.
func swapGUID(u []byte) {
	u[0], u[1], u[2], u[3] = u[3], u[2], u[1], u[0]
	u[4], u[5] = u[5], u[4]
	u[6], u[7] = u[7], u[6]
}
