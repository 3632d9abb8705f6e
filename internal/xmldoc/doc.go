// Package xmldoc reads XML from the network into a small element tree and
// prints such a tree again.
//
// It is encoding/xml with the doors shut: a document type declaration, a
// processing instruction other than the XML declaration, an undeclared
// prefix, another encoding than UTF-8, and anything beyond Limits is an
// error. Prefixes are not kept, since they mean nothing; namespaces are, and
// the printer declares them again where they are needed. White space between
// elements is dropped. For every accepted document b
//
//	parse(print(parse(b))) == parse(b)
//
// The document families (pidf, rlmi, resourcelists, ...) are typed views of such
// trees, one package each.
package xmldoc
