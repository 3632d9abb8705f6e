package baresip

import (
	"path/filepath"
	"testing"
)

func TestToneIsFoundAndNoOther(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tone.wav")
	if err := WriteTone(file, 997, 3); err != nil {
		t.Fatal(err)
	}
	s, err := ReadWAV(file)
	if err != nil {
		t.Fatal(err)
	}
	if share, rms := s.Tone(997); share < 0.98 || share > 1.02 || rms < 0.15 {
		t.Errorf("tone of 997 Hz: share %.3f, rms %.3f", share, rms)
	}
	if share, _ := s.Tone(633); share > 0.02 {
		t.Errorf("633 Hz was not played, share %.3f", share)
	}
	if s.Seconds() != 3 {
		t.Errorf("%.2f seconds, want 3", s.Seconds())
	}
}
