// Package turn has the media relay used by real clients: coturn's turnutils_uclient in the dialect of the RFCs, and libnice,
// the library of the open Lync client, in both.
package turn
