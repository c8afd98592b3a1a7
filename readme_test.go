package walve_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// exampleBodies gives the body of every Example function in path by its name,
// without its Output comment and without the indentation of the function.
func exampleBodies(t *testing.T, path string) map[string]string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(map[string]string)
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(fn.Name.Name, "Example") {
			continue
		}
		begin, end := fset.Position(fn.Body.Lbrace).Offset+1, fset.Position(fn.Body.Rbrace).Offset
		body, _, _ := strings.Cut(string(src[begin:end]), "\t// Output:")
		body = strings.ReplaceAll(body, "\n\t", "\n")
		bodies[fn.Name.Name] = strings.TrimSpace(body)
	}
	return bodies
}

// TestReadme holds that the README's Go code compiles and does what it says:
// each block is the body of an Example function.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, block := range regexp.MustCompile("(?s)\n```go\n(.*?)\n```\n").FindAllSubmatch(readme, -1) {
		shown[string(block[1])] = true
	}
	for path, names := range map[string][]string{
		"example_test.go":          {"ExampleListen", "ExampleUpgrade", "ExampleFrameReader"},
		"examples/example_test.go": {"Example_grpc", "Example_ssh"},
	} {
		bodies := exampleBodies(t, path)
		for _, name := range names {
			if !shown[bodies[name]] {
				t.Errorf("README.md has no block that equals the body of %s in %s", name, path)
			}
			delete(shown, bodies[name])
		}
	}
	for block := range shown {
		first, _, _ := strings.Cut(block, "\n")
		t.Errorf("README.md has a block that is no Example, it begins with %q", first)
	}
}
