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

// chunk is how many pairs of samples pass the filters at a time.
const chunk = 160

// filter is the memory of a quadrature mirror filter: the last 22 samples, then those of a chunk.
type filter [22 + 2*chunk]int32

// keep moves the last samples of n pairs to the front.
func (f *filter) keep(n int) { copy(f[:22], f[2*n:2*n+22]) }

// pair is both sums of the filter for the i-th pair of the chunk.
func (f *filter) pair(i int) (even, odd int32) {
	x := (*[24]int32)(f[2*i:])
	for i, c := range qmf {
		odd += x[2*i] * c
		even += x[2*i+1] * qmf[11-i]
	}
	return even, odd
}

// Encoder turns samples into octets. The zero value is not ready: use NewEncoder.
type Encoder struct {
	low, high band
	x         filter
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
	total := min(len(dst), len(src)/2)
	for done := 0; done < total; {
		n := min(chunk, total-done)
		for i, s := range src[2*done : 2*(done+n)] {
			e.x[22+i] = int32(s)
		}
		out := dst[done : done+n]
		for i := range out {
			even, odd := e.x.pair(i)
			out[i] = e.encodeHigh((even-odd)>>14)<<6 | e.encodeLow((even+odd)>>14)
		}
		e.x.keep(n)
		done += n
	}
	return total
}

func (e *Encoder) encodeLow(x int32) byte {
	b := &e.low
	el := sat(x - b.s)
	m := el ^ el>>31 // of a negative one the one's complement, as MIL of the Recommendation
	i, end := 1, 30  // the first level above, by halves
	for i < end {
		if half := (i + end) >> 1; m >= q6[half]*b.det>>12 {
			i = half + 1
		} else {
			end = half
		}
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
	x         filter
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
	total := min(len(dst)/2, len(src))
	for done := 0; done < total; {
		n := min(chunk, total-done)
		for i, code := range src[done : done+n] {
			il, ih := code&0x3F, code>>6
			low := limit(d.low.s + d.low.det*qm6[il]>>15)
			d.low.adaptLow(il >> 2)
			high := limit(d.high.s + d.high.det*qm2[ih]>>15)
			d.high.adaptHigh(ih)
			d.x[22+2*i], d.x[23+2*i] = low+high, low-high
		}
		out := dst[2*done : 2*(done+n)]
		for i := range n {
			even, odd := d.x.pair(i)
			out[2*i], out[2*i+1] = int16(sat(even>>11)), int16(sat(odd>>11))
		}
		d.x.keep(n)
		done += n
	}
	return 2 * total
}

// band is the adaptive predictor and quantiser scale of one band, the same in encoder and decoder. The fields are
// called as in the Recommendation.
type band struct {
	s, sz   int32    // predicted signal, and its part from the zeros
	r1, r2  int32    // reconstructed signal, the last two, doubled as the filters want them
	p1, p2  int32    // partly reconstructed signal, the last two
	a1, a2  int32    // poles
	b, d    [6]int32 // zeros, and the last quantised differences, doubled
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

// predict is block 4: it takes the quantised difference, adapts poles and zeros and predicts the next sample. Where
// the Recommendation saturates what cannot run over, this does not.
func (b *band) predict(d int32) {
	r := sat(b.s + d)
	p := sat(b.sz + d)

	// UPPOL2 and UPPOL1
	a2 := b.a2 * 32512 >> 15
	a1 := b.a1 * 32640 >> 15
	if wd := sat(b.a1 << 2); same(p, b.p1) {
		a2 += min(-wd, 32767) >> 7
		a1 += 192
	} else {
		a2 += wd >> 7
		a1 -= 192
	}
	if same(p, b.p2) {
		a2 += 128
	} else {
		a2 -= 128
	}
	a2 = min(max(a2, -12288), 12288)
	bound := 15360 - a2
	a1 = min(max(a1, -bound), bound)

	// UPZERO, DELAYA and FILTEZ in one turn
	gain := int32(128)
	if d == 0 {
		gain = 0
	}
	newer, sz := sat(2*d), int32(0)
	for i := range b.b {
		older := b.d[i]
		minus := (d ^ older) >> 31 // all ones when the signs differ
		z := b.b[i]*32640>>15 + (gain ^ minus - minus)
		b.b[i], b.d[i] = z, newer
		sz += z * newer >> 15
		newer = older
	}

	// FILTEP and PREDIC
	b.p2, b.p1 = b.p1, p
	b.r2, b.r1 = b.r1, sat(2*r)
	b.a1, b.a2 = a1, a2
	b.sz = sat(sz)
	b.s = sat(sat(a1*b.r1>>15+a2*b.r2>>15) + b.sz)
}

// same reports whether both have the same sign; zero counts as positive.
func same(a, b int32) bool { return a^b >= 0 }

func sat(v int32) int32   { return min(max(v, -32768), 32767) }
func limit(v int32) int32 { return min(max(v, -16384), 16383) }
