package export_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// node is an element with what it holds; a schema and the documents it describes are both read as one.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) child(name string) *node {
	for i := range n.Children {
		if n.Children[i].XMLName.Local == name {
			return &n.Children[i]
		}
	}
	return nil
}

// schema checks documents against an ISO 20022 schema. It knows the parts of XML Schema that those are made of, and refuses
// every other, so that nothing is taken for checked that is not.
type schema struct {
	namespace string
	types     map[string]*node
	root      *node
}

// publishedOnce reads the schema of a credit transfer, under the namespace of the version that files are written to.
var publishedOnce = sync.OnceValues(func() (*schema, error) {
	content, err := os.ReadFile("testdata/pain.001.001.10.xsd")
	if err != nil {
		return nil, err
	}
	return newSchema(bytes.ReplaceAll(content, []byte("pain.001.001.10"), []byte("pain.001.001.09")))
})

func published(t require.TestingT) *schema {
	s, err := publishedOnce()
	require.NoError(t, err)
	return s
}

func newSchema(content []byte) (*schema, error) {
	var top node
	if err := xml.Unmarshal(content, &top); err != nil {
		return nil, err
	}
	s := &schema{namespace: top.attr("targetNamespace"), types: make(map[string]*node)}
	for i := range top.Children {
		child := &top.Children[i]
		switch child.XMLName.Local {
		case "element":
			s.root = child
		case "complexType", "simpleType":
			s.types[child.attr("name")] = child
		default:
			return nil, fmt.Errorf("schema holds an unknown %q", child.XMLName.Local)
		}
	}
	return s, nil
}

func (s *schema) check(document []byte) error {
	var top node
	in := xml.NewDecoder(bytes.NewReader(document))
	if err := in.Decode(&top); err != nil {
		return err
	}
	if _, err := in.Token(); err == nil {
		// White space after the document is a token of its own.
		if _, err = in.Token(); !errors.Is(err, io.EOF) {
			return errors.New("the document goes on after its end")
		}
	}
	if top.XMLName.Local != s.root.attr("name") {
		return fmt.Errorf("the document is a %q", top.XMLName.Local)
	}
	return s.element(&top, s.root.attr("type"), top.XMLName.Local)
}

func (s *schema) element(n *node, typeName, path string) error {
	if n.XMLName.Space != s.namespace {
		return fmt.Errorf("%s is in namespace %q", path, n.XMLName.Space)
	}
	kind := s.types[typeName]
	if kind == nil {
		return fmt.Errorf("%s: the schema has no type %q", path, typeName)
	}
	if kind.XMLName.Local == "simpleType" {
		return errors.Join(s.attributes(n, nil, path), s.leaf(n, typeName, path))
	}
	if len(kind.Children) != 1 {
		return fmt.Errorf("%s: type %s has %d parts", path, typeName, len(kind.Children))
	}
	part := &kind.Children[0]
	switch part.XMLName.Local {
	case "simpleContent":
		extension := part.child("extension")
		return errors.Join(s.attributes(n, extension, path), s.leaf(n, extension.attr("base"), path))
	case "choice":
		if err := s.attributes(n, nil, path); err != nil {
			return err
		}
		if len(n.Children) != 1 {
			return fmt.Errorf("%s holds %d of a choice", path, len(n.Children))
		}
		for i := range part.Children {
			if option := &part.Children[i]; option.attr("name") == n.Children[0].XMLName.Local {
				return s.element(&n.Children[0], option.attr("type"), path+"/"+option.attr("name"))
			}
		}
		return fmt.Errorf("%s does not offer %s", path, n.Children[0].XMLName.Local)
	case "sequence":
		return errors.Join(s.attributes(n, nil, path), s.sequence(n, part, path))
	default:
		return fmt.Errorf("%s: unknown part %q", path, part.XMLName.Local)
	}
}

func (s *schema) sequence(n, part *node, path string) error {
	if strings.TrimSpace(n.Text) != "" {
		return fmt.Errorf("%s holds text", path)
	}
	rest := n.Children
	for i := range part.Children {
		want := &part.Children[i]
		if want.XMLName.Local != "element" {
			return fmt.Errorf("%s: unknown part %q", path, want.XMLName.Local)
		}
		least, most, count := bound(want.attr("minOccurs")), bound(want.attr("maxOccurs")), 0
		for len(rest) > 0 && rest[0].XMLName.Local == want.attr("name") {
			if err := s.element(&rest[0], want.attr("type"), path+"/"+want.attr("name")); err != nil {
				return err
			}
			rest, count = rest[1:], count+1
		}
		if count < least || count > most {
			return fmt.Errorf("%s holds %d %s, not %d to %d", path, count, want.attr("name"), least, most)
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%s holds %s where it may not", path, rest[0].XMLName.Local)
	}
	return nil
}

func bound(text string) int {
	if text == "unbounded" {
		return 1 << 30
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	return n
}

func (s *schema) attributes(n, extension *node, path string) error {
	for _, a := range n.Attrs {
		if a.Name.Local == "xmlns" {
			continue
		}
		var declared *node
		if extension != nil {
			declared = extension.child("attribute")
		}
		if declared == nil || declared.attr("name") != a.Name.Local {
			return fmt.Errorf("%s has an attribute %s", path, a.Name.Local)
		}
		if err := s.leaf(&node{Text: a.Value}, declared.attr("type"), path+"@"+a.Name.Local); err != nil {
			return err
		}
	}
	if extension != nil && n.attr(extension.child("attribute").attr("name")) == "" {
		return fmt.Errorf("%s has no attribute", path)
	}
	return nil
}

// leaf checks a text against the facets of a simple type.
func (s *schema) leaf(n *node, typeName, path string) error {
	if len(n.Children) > 0 {
		return fmt.Errorf("%s holds elements", path)
	}
	restriction := s.types[typeName].child("restriction")
	var options []string
	for i := range restriction.Children {
		facet, ok := &restriction.Children[i], true
		value := facet.attr("value")
		switch facet.XMLName.Local {
		case "enumeration":
			options = append(options, value)
		case "minLength":
			ok = utf8.RuneCountInString(n.Text) >= bound(value)
		case "maxLength":
			ok = utf8.RuneCountInString(n.Text) <= bound(value)
		case "pattern":
			ok = regexp.MustCompile(`^(?:` + value + `)$`).MatchString(n.Text)
		case "fractionDigits":
			_, fraction, _ := strings.Cut(n.Text, ".")
			ok = len(fraction) <= bound(value)
		case "totalDigits":
			ok = len(strings.Trim(strings.ReplaceAll(n.Text, ".", ""), "-")) <= bound(value)
		case "minInclusive":
			ok = !strings.HasPrefix(n.Text, "-")
		default:
			return fmt.Errorf("%s: unknown facet %q", path, facet.XMLName.Local)
		}
		if !ok {
			return fmt.Errorf("%s: %q is not %s %s", path, n.Text, facet.XMLName.Local, value)
		}
	}
	if len(options) > 0 && !slices.Contains(options, n.Text) {
		return fmt.Errorf("%s: %q is not one of %v", path, n.Text, options)
	}
	var err error
	switch base := restriction.attr("base"); base {
	case "xs:string":
	case "xs:decimal":
		_, err = money.ParseDecimal(n.Text)
	case "xs:date":
		_, err = time.Parse(time.DateOnly, n.Text)
	case "xs:dateTime":
		_, err = time.Parse(time.RFC3339, n.Text)
	default:
		err = fmt.Errorf("unknown base %q", base)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
