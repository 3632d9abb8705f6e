package keyring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	k := New()
	secret := []byte("verifier")
	sealed := k.Seal("user/1", secret)
	if got, err := k.Open("user/1", sealed); err != nil || !bytes.Equal(got, secret) {
		t.Fatal(got, err)
	}
	if bytes.Contains(sealed, secret) || len(sealed) != len(secret)+Overhead {
		t.Errorf("%q", sealed)
	}
	if bytes.Equal(sealed, k.Seal("user/1", secret)) {
		t.Error("the same secret sealed twice looks the same")
	}
	if _, err := k.Open("user/2", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("in another place: %v", err)
	}
	if _, err := New().Open("user/1", sealed); !errors.Is(err, ErrKey) {
		t.Errorf("with another keyring: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open("user/1", bad); !errors.Is(err, ErrSealed) && !errors.Is(err, ErrKey) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := k.Open("user/1", sealed[:i]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut after %d: %v", i, err)
		}
	}
}

func TestFileIsPrivateAndRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	k, err := OpenOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(err, info.Mode())
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over a file: %v", err)
	}
	old := k.Seal("x", []byte("before"))
	before := k.Current()
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Current() != k.Current() || again.Current() == before || !again.Old(old) || again.Old(again.Seal("x", nil)) {
		t.Error("the new key is not the current one")
	}
	if got, err := again.Open("x", old); err != nil || string(got) != "before" {
		t.Errorf("after rotation: %q, %v", got, err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".keyring-*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestBadFilesAreRefusedWithoutQuotingThem(t *testing.T) {
	const key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	for text, want := range map[string]string{
		"":                               "holds no key",
		"# comment\n\n":                  "holds no key",
		"0000000a " + key + "x\n":        ":1: the key is not 32 bytes",
		"0000000a QUFB\n":                "not 32 bytes",
		"xyz " + key:                     "not a hexadecimal number",
		"000000000a1 " + key + " " + key: "want a key id and a key",
		"# a\n0a " + key + "\n0a " + key: ":3: key 0000000a is there twice",
	} {
		path := filepath.Join(t.TempDir(), FileName)
		os.WriteFile(path, []byte(text), 0o600)
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "QUFB") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), FileName)
	os.WriteFile(path, []byte("0a "+key), 0o600)
	os.Chmod(path, 0o640)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("readable by others: %v", err)
	}
}

func TestRotationThatCannotBeSavedChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	os.Mkdir(dir, 0o700)
	k, err := Create(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	before := k.Current()
	os.RemoveAll(dir)
	if err := k.Rotate(); err == nil || k.Current() != before {
		t.Errorf("%v, %v", err, k.Current())
	}
	if _, err := k.Open("x", k.Seal("x", nil)); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	k := New()
	f.Add(k.Seal("x", []byte("secret")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := k.Open("y", b); err == nil {
			t.Fatal("opened")
		}
		k.Old(b)
	})
}

func BenchmarkOpen(b *testing.B) {
	k := New()
	sealed := k.Seal("directory/verifiers/x", make([]byte, 122))
	for b.Loop() {
		k.Open("directory/verifiers/x", sealed)
	}
}
