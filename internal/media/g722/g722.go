// Package g722 is the wide-band codec of ITU-T G.722 in mode 1, 64 kbit/s: 16,000 samples a second, one octet for
// two samples.
//
// In RTP its payload type is 9 and its clock runs at 8000, not 16000: RFC 3551 4.5.2 keeps an old error. Twenty
// milliseconds are 320 samples, 160 octets and 160 units of the timestamp.
//
// Encoder and Decoder adapt to what they have heard, so each direction of each call needs its own. They allocate
// nothing and are not safe for concurrent use.
package g722

const (
	maxLow  = 18432 // greatest logarithmic scale of the lower band, NBL
	maxHigh = 22528 // and of the higher band, NBH
)

// Encoder turns samples into octets. The zero value is not ready: use NewEncoder.
type Encoder struct {
	low, high band
	x         [24]int32 // the last samples, for the filter that splits the bands
}

// NewEncoder returns an encoder that has heard nothing.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.Reset()
	return e
}

// Reset forgets what was heard, as at the beginning of another stream.
func (e *Encoder) Reset() { *e = Encoder{low: band{det: 32}, high: band{det: 8}} }

// Encode writes an octet for every two samples of src and returns how many: len(src)/2, or len(dst) when that is
// less. An odd last sample is left out.
func (e *Encoder) Encode(dst []byte, src []int16) int {
	n := min(len(dst), len(src)/2)
	for i := range n {
		low, high := e.split(int32(src[2*i]), int32(src[2*i+1]))
		dst[i] = e.encodeHigh(high)<<6 | e.encodeLow(low)
	}
	return n
}

// split is the transmit quadrature mirror filter.
func (e *Encoder) split(a, b int32) (low, high int32) {
	copy(e.x[:], e.x[2:])
	e.x[22], e.x[23] = a, b
	var odd, even int32
	for i, c := range qmf {
		odd += e.x[2*i] * c
		even += e.x[2*i+1] * qmf[11-i]
	}
	return (even + odd) >> 14, (even - odd) >> 14
}

func (e *Encoder) encodeLow(x int32) byte {
	b := &e.low
	el := sat(x - b.s)
	m := el ^ el>>31 // of a negative one the one's complement, as MIL of the Recommendation
	i := 1
	for i < 30 && m >= q6[i]*b.det>>12 {
		i++
	}
	code := ilp[i]
	if el < 0 {
		code = iln[i]
	}
	b.adaptLow(code >> 2)
	return code
}

func (e *Encoder) encodeHigh(x int32) byte {
	b := &e.high
	eh := sat(x - b.s)
	code := byte(1)
	if eh^eh>>31 >= 564*b.det>>12 {
		code = 0
	}
	if eh >= 0 {
		code |= 2
	}
	b.adaptHigh(code)
	return code
}

// Decoder turns octets into samples. The zero value is not ready: use NewDecoder.
type Decoder struct {
	low, high band
	x         [24]int32
}

// NewDecoder returns a decoder that has heard nothing.
func NewDecoder() *Decoder {
	d := &Decoder{}
	d.Reset()
	return d
}

// Reset forgets what was heard, as at the beginning of another stream.
func (d *Decoder) Reset() { *d = Decoder{low: band{det: 32}, high: band{det: 8}} }

// Decode writes two samples for every octet of src and returns how many samples: twice the octets that fit.
// Every octet is a valid one.
func (d *Decoder) Decode(dst []int16, src []byte) int {
	n := min(len(dst)/2, len(src))
	for i, code := range src[:n] {
		il, ih := code&0x3F, code>>6
		low := limit(d.low.s + d.low.det*qm6[il]>>15)
		d.low.adaptLow(il >> 2)
		high := limit(d.high.s + d.high.det*qm2[ih]>>15)
		d.high.adaptHigh(ih)
		a, b := d.join(low, high)
		dst[2*i], dst[2*i+1] = int16(a), int16(b)
	}
	return 2 * n
}

// join is the receive quadrature mirror filter.
func (d *Decoder) join(low, high int32) (a, b int32) {
	copy(d.x[:], d.x[2:])
	d.x[22], d.x[23] = low+high, low-high
	for i, c := range qmf {
		b += d.x[2*i] * c
		a += d.x[2*i+1] * qmf[11-i]
	}
	return sat(a >> 11), sat(b >> 11)
}

// band is the adaptive predictor and quantiser scale of one band, the same in encoder and decoder. The fields are
// called as in the Recommendation.
type band struct {
	s, sz   int32    // predicted signal, and its part from the zeros
	r1, r2  int32    // reconstructed signal, the last two
	p1, p2  int32    // partly reconstructed signal, the last two
	a1, a2  int32    // poles
	b, d    [6]int32 // zeros, and the last quantised differences
	nb, det int32    // scale of the quantiser, logarithmic and linear
}

// adaptLow takes the four upper bits of a code of the lower band.
func (b *band) adaptLow(ril byte) {
	d := b.det * qm4[ril] >> 15
	b.nb = min(max(b.nb*127>>7+wl4[ril], 0), maxLow)
	b.det = linear(b.nb, 8)
	b.predict(d)
}

func (b *band) adaptHigh(ih byte) {
	d := b.det * qm2[ih] >> 15
	b.nb = min(max(b.nb*127>>7+wh2[ih], 0), maxHigh)
	b.det = linear(b.nb, 10)
	b.predict(d)
}

// linear is SCALEL and SCALEH: from the logarithmic scale to the linear one.
func linear(nb, shift int32) int32 {
	v := ilb[nb>>6&31]
	if s := shift - nb>>11; s < 0 {
		v <<= -s
	} else {
		v >>= s
	}
	return v << 2
}

// predict is block 4: it takes the quantised difference, adapts poles and zeros and predicts the next sample.
func (b *band) predict(d int32) {
	r := sat(b.s + d)
	p := sat(b.sz + d)

	// UPPOL2 and UPPOL1
	wd := sat(b.a1 << 2)
	if same(p, b.p1) {
		wd = min(-wd, 32767)
	}
	a2 := wd>>7 + b.a2*32512>>15
	if same(p, b.p2) {
		a2 += 128
	} else {
		a2 -= 128
	}
	a2 = min(max(a2, -12288), 12288)
	a1 := b.a1 * 32640 >> 15
	if same(p, b.p1) {
		a1 += 192
	} else {
		a1 -= 192
	}
	bound := 15360 - a2
	a1 = min(max(sat(a1), -bound), bound)

	// UPZERO, DELAYA and FILTEZ in one turn, oldest difference first
	var gain int32
	if d != 0 {
		gain = 128
	}
	sz := int32(0)
	for i := 5; i >= 0; i-- {
		z := b.b[i] * 32640 >> 15
		if same(d, b.d[i]) {
			z += gain
		} else {
			z -= gain
		}
		b.b[i] = sat(z)
	}
	copy(b.d[1:], b.d[:5])
	b.d[0] = d
	for i := 5; i >= 0; i-- {
		sz += b.b[i] * sat(2*b.d[i]) >> 15
	}

	// FILTEP and PREDIC
	b.p2, b.p1 = b.p1, p
	b.r2, b.r1 = b.r1, r
	b.a1, b.a2 = a1, a2
	sp := sat(a1*sat(2*b.r1)>>15 + a2*sat(2*b.r2)>>15)
	b.sz = sat(sz)
	b.s = sat(sp + b.sz)
}

// same reports whether both have the same sign; zero counts as positive.
func same(a, b int32) bool { return a^b >= 0 }

func sat(v int32) int32   { return min(max(v, -32768), 32767) }
func limit(v int32) int32 { return min(max(v, -16384), 16383) }
