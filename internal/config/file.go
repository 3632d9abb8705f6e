package config

import (
	"fmt"
	"os"
	"path/filepath"

	"parley/internal/tomlfile"
)

// Section is a part of the node file that a service owns.
type Section struct {
	Name string     // the top-level key
	New  func() any // a pointer to the section's type, filled with its defaults
	Doc  string     // the comment above it in the sample file
}

// Validator is implemented by section types that can be wrong as a whole. The error may be a *FieldError to
// point at one key.
type Validator interface{ Validate() error }

// FieldError says which key of a section is wrong.
type FieldError struct {
	Key  string
	Text string
	Fix  string
}

// Error prints the key and what is wrong with it.
func (e *FieldError) Error() string { return e.Key + ": " + e.Text }

// File is a decoded and validated node file. It is immutable.
type File struct {
	Config
	Path     string
	sections map[string]any
	order    []Section
}

// Section is the decoded section of a service: a pointer of the type that its New returns. It is nil when
// the section was not registered.
func (f *File) Section(name string) any { return f.sections[name] }

// Load reads and validates the node file of a data directory.
func Load(dataDir string, sections ...Section) (*File, error) {
	path := filepath.Join(dataDir, FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read node file: %w", err)
	}
	return Parse(path, text, sections...)
}

// Parse decodes and validates a node file. The error is a tomlfile.Errors with every complaint.
func Parse(path string, text []byte, sections ...Section) (*File, error) {
	doc, err := tomlfile.Parse(path, text)
	if err != nil {
		return nil, err
	}
	f := &File{Config: Default(), Path: path, sections: map[string]any{}, order: sections}
	for _, s := range sections {
		f.sections[s.Name] = s.New()
	}
	if err := doc.Decode(&f.Config, f.sections); err != nil {
		return nil, err
	}
	if errs := f.validate(doc); len(errs) > 0 {
		return nil, errs
	}
	return f, nil
}
