package store

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
)

// statement is an SQL text made ready for the engine, once: placeholders
// rewritten and, on the read-only connections of SQLite, prepared (preparing
// costs as much as running). The SQLite writer prepares for itself, and pgx
// keeps prepared statements of its own.
type statement struct {
	text   string // in the engine's spelling
	writes bool
	kept   bool // in the table of statements, and closed with it

	mu     sync.Mutex
	reader atomic.Pointer[sql.Stmt]
}

// statement looks text up. Texts are expected to be constants; more than
// maxStatements different ones are rewritten each time and not kept.
func (db *DB) statement(text string) *statement {
	if s, ok := db.stmts.Load(text); ok {
		return s.(*statement)
	}
	s := &statement{text: text, writes: writes(text)}
	if db.engine == SQLite {
		s.text = questionMarks(text)
	}
	if db.kept.Add(1) > maxStatements {
		return s
	}
	s.kept = true
	first, _ := db.stmts.LoadOrStore(text, s)
	return first.(*statement)
}

const maxStatements = 4096

// onReader runs a SELECT on a read-only SQLite connection.
func (s *statement) onReader(ctx context.Context, db *DB, args []any) (*sql.Rows, error) {
	if st := s.reader.Load(); st != nil {
		return st.QueryContext(ctx, args...)
	}
	if !s.kept {
		return db.read.QueryContext(ctx, s.text, args...)
	}
	s.mu.Lock()
	st := s.reader.Load()
	if st == nil {
		var err error
		if st, err = db.read.PrepareContext(ctx, s.text); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.reader.Store(st)
	}
	s.mu.Unlock()
	return st.QueryContext(ctx, args...)
}

func (s *statement) close() {
	if st := s.reader.Swap(nil); st != nil {
		st.Close()
	}
}

// questionMarks rewrites $1 to ?1. Quoted text and comments are left alone.
// The numbered form keeps its meaning in every driver; $1 does not (one binds
// it in order of appearance).
func questionMarks(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	out := []byte(text)
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case c == '\'' || c == '"':
			for i++; i < len(out) && out[i] != c; i++ {
			}
		case c == '-' && i+1 < len(out) && out[i+1] == '-':
			for ; i < len(out) && out[i] != '\n'; i++ {
			}
		case c == '$' && i+1 < len(out) && '0' <= out[i+1] && out[i+1] <= '9':
			out[i] = '?'
		}
	}
	return string(out)
}

// writes says whether a statement changes the database. SELECT does not; a
// WITH does when one of its parts does.
func writes(text string) bool {
	fields := strings.Fields(strings.ToUpper(text))
	if len(fields) == 0 {
		return false
	}
	switch fields[0] {
	case "SELECT", "VALUES", "EXPLAIN":
		return false
	case "WITH":
		for _, f := range fields {
			switch strings.Trim(f, "(),") {
			case "INSERT", "UPDATE", "DELETE":
				return true
			}
		}
		return false
	}
	return true
}
