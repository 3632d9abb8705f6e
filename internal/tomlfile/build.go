package tomlfile

import (
	"bytes"
	"errors"
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"
)

// builder turns the expressions of go-toml's parser into a tree whose nodes know their place.
type builder struct {
	doc   *Document
	p     unstable.Parser
	lines lines
}

func newTable(at Place) *node {
	return &node{place: at, kind: unstable.Table, children: map[string]*node{}}
}

func (b *builder) run() error {
	table := b.doc.root
	for b.p.NextExpression() {
		e := b.p.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			if err := b.keyValue(table, e, 0); err != nil {
				return err
			}
		case unstable.Table, unstable.ArrayTable:
			t, err := b.header(e)
			if err != nil {
				return err
			}
			table = t
		}
	}
	return b.p.Error()
}

var errShape = errors.New("a key is used both as a table and as a value")

// header opens the table of [a.b] or a new element of [[a.b]].
func (b *builder) header(e *unstable.Node) (*node, error) {
	t := b.doc.root
	for it := e.Key(); it.Next(); {
		k := it.Node()
		at := b.at(k, Join(t.place.Path, string(k.Data)))
		last := k.Next() == nil
		child := t.children[string(k.Data)]
		if last && e.Kind == unstable.ArrayTable {
			if child == nil {
				child = &node{place: at, kind: unstable.Array, fromTables: true}
				t.put(string(k.Data), child)
			}
			if !child.fromTables {
				return nil, errShape
			}
			at.Path = At(child.place.Path, len(child.elems))
			elem := newTable(at)
			child.elems = append(child.elems, elem)
			return elem, nil
		}
		if child == nil {
			child = newTable(at)
			t.put(string(k.Data), child)
		}
		if child.kind == unstable.Array && len(child.elems) > 0 {
			child = child.elems[len(child.elems)-1]
		}
		if child.kind != unstable.Table {
			return nil, errShape
		}
		t = child
	}
	return t, nil
}

func (b *builder) keyValue(t *node, e *unstable.Node, depth int) error {
	for it := e.Key(); it.Next(); {
		k := it.Node()
		name := string(k.Data)
		at := b.at(k, Join(t.place.Path, name))
		if k.Next() == nil {
			v, err := b.value(e.Value(), at, depth)
			if err != nil {
				return err
			}
			t.put(name, v)
			return nil
		}
		child := t.children[name]
		if child == nil {
			child = newTable(at)
			t.put(name, child)
		}
		if child.kind != unstable.Table {
			return errShape
		}
		t = child
	}
	return nil
}

// value builds the node of a value. Its place is that of its key, except inside arrays.
func (b *builder) value(v *unstable.Node, at Place, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errors.New("values are nested too deeply")
	}
	n := &node{place: at, kind: v.Kind}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			c := it.Node()
			if c.Kind == unstable.Comment {
				continue
			}
			elemAt := at
			if c.Raw.Length > 0 {
				elemAt = b.at(c, "")
			}
			elemAt.Path = At(at.Path, len(n.elems))
			elem, err := b.value(c, elemAt, depth+1)
			if err != nil {
				return nil, err
			}
			n.elems = append(n.elems, elem)
		}
	case unstable.InlineTable:
		n = newTable(at)
		for it := v.Children(); it.Next(); {
			if it.Node().Kind != unstable.KeyValue {
				continue
			}
			if err := b.keyValue(n, it.Node(), depth+1); err != nil {
				return nil, err
			}
		}
	default:
		n.text = string(v.Data)
	}
	return n, nil
}

func (n *node) put(key string, v *node) {
	if n.children[key] == nil {
		n.keys = append(n.keys, key)
	}
	n.children[key] = v
}

func (b *builder) at(n *unstable.Node, path string) Place {
	line, column := b.lines.position(int(n.Raw.Offset))
	return Place{File: b.doc.file, Line: line, Column: column, Path: path}
}

// lines holds the offset of each line, so that a position costs a search and not a scan of the document.
type lines []int

func newLines(data []byte) lines {
	l := lines{0}
	for off := 0; ; {
		i := bytes.IndexByte(data[off:], '\n')
		if i < 0 {
			return l
		}
		off += i + 1
		l = append(l, off)
	}
}

func (l lines) position(offset int) (line, column int) {
	i := sort.SearchInts(l, offset+1) - 1
	return i + 1, offset - l[i] + 1
}
