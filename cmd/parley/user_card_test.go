package main

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/internal/node/nodetest"
)

func TestUserCardAndPhotoVerbs(t *testing.T) {
	running := server(t).Dir
	for name, dir := range map[string]string{"running server": running, "stopped server": nodetest.Dir(t)} {
		t.Run(name, func(t *testing.T) {
			want(t, "user", "add", "alice@example.test", "--title", "Engineer", "--surname", "Example", "--data", dir)
			want(t, "user", "set", "alice@example.test", "--title", "", "--home-phone", "+1 555 0199", "--country", "NZ", "--data", dir)
			shown := want(t, "user", "show", "alice@example.test", "--data", dir)
			for _, line := range []string{"surname     Example\n", "home phone  +1 555 0199\n", "country     NZ\n"} {
				if !strings.Contains(shown, line) {
					t.Errorf("show does not say %q:\n%s", line, shown)
				}
			}
			if strings.Contains(shown, "Engineer") {
				t.Errorf("an empty title does not remove it:\n%s", shown)
			}
			tmp := t.TempDir()
			picture, text, copied := filepath.Join(tmp, "a.png"), filepath.Join(tmp, "a.txt"), filepath.Join(tmp, "copy.png")
			f, err := os.Create(picture)
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if err := os.WriteFile(text, []byte("no picture"), 0o600); err != nil {
				t.Fatal(err)
			}
			want(t, "user", "photo", "alice@example.test", picture, "--data", dir)
			want(t, "user", "photo", "alice@example.test", "--save", copied, "--data", dir)
			if read(t, copied) != read(t, picture) {
				t.Error("the saved photo is another")
			}
			if shown := want(t, "user", "show", "alice@example.test", "--data", dir); !strings.Contains(shown, "photo ") {
				t.Errorf("show does not speak of the photo:\n%s", shown)
			}
			refused(t, "neither JPEG nor PNG", "user", "photo", "alice@example.test", text, "--data", dir)
			refused(t, "file exists", "user", "photo", "alice@example.test", "--save", copied, "--data", dir)
			refused(t, "want one of FILE", "user", "photo", "alice@example.test", "--data", dir)
			refused(t, "want one of FILE", "user", "photo", "alice@example.test", picture, "--remove", "--data", dir)
			want(t, "user", "photo", "alice@example.test", "--remove", "--data", dir)
			refused(t, "has no photo", "user", "photo", "alice@example.test", "--save", filepath.Join(tmp, "x"), "--data", dir)
		})
	}
}
