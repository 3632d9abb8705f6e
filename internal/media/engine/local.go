package engine

// Source is what a leg in this process says. It is read by a worker, which must not wait: what comes from a disk is
// read before (see Prompt).
type Source interface {
	Rate() int // samples a second: 8000, 16000 or 48000
	// Read fills pcm and returns how much of it there is: less means that this was the end. Nothing is allocated.
	Read(pcm []int16) int
}

// Sink is who listens in a leg in this process. Like a Source it must not wait.
type Sink interface {
	Rate() int // 8000, 16000 or 48000
	Write(pcm []int16)
}
