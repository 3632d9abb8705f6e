package sdp_test

import (
	"fmt"
	"net/netip"
	"os"

	"parley/internal/sdp"
)

// A relay changes where media is sent to, and nothing else.
func Example() {
	offer := "v=0\no=- 1 1 IN IP4 10.0.0.5\ns=session\nc=IN IP4 10.0.0.5\nt=0 0\na=x-mediabw:main-video send=585;recv=1416\n" +
		"m=audio 50005 RTP/AVP 8 0\na=label:main-audio\n"
	d, err := sdp.Parse([]byte(offer))
	if err != nil {
		fmt.Println(err)
		return
	}
	d.SetConnection(sdp.ConnectionTo(netip.MustParseAddr("192.0.2.1")))
	d.Media[0].SetPort(49152)
	os.Stdout.Write(d.Append(nil))
	// Output:
	// v=0
	// o=- 1 1 IN IP4 10.0.0.5
	// s=session
	// c=IN IP4 192.0.2.1
	// t=0 0
	// a=x-mediabw:main-video send=585;recv=1416
	// m=audio 49152 RTP/AVP 8 0
	// a=label:main-audio
}
