package walve_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The policy of the module: who may import and name whom, and what may be
// required. To change it is a decision, not a fix for a failing test.

const modulePath = "github.com/bodokaiser/walve"

// layers are the root package's files by the beginning of their names, the
// lowest layer first. A file that stands nowhere belongs to conn.
var layers = []struct {
	name     string
	files    []string
	noImport []string // these and what is below them
}{
	{"wire", []string{"header", "mask", "utf8", "status"}, []string{"net", modulePath}},
	{"frame", []string{"frame_"}, []string{"net", modulePath}},
	{"conn", nil, []string{"net/http"}},
	{"handshake", []string{"handshake"}, nil},
	{"upgrade and dial", []string{"upgrade", "dial"}, nil},
	{"listener", []string{"listener", "serve"}, nil},
}

const connLayer = 2

// namedFromBelow are the exceptions to "nothing names what is above it": what
// the opening handshake learns reaches Conn as a struct of handshake.go.
var namedFromBelow = []string{"handshake"}

// The non-standard packages that the root module may import, with what is
// below them.
var (
	allowedImports        = []string{"golang.org/x/net", "github.com/klauspost/compress"}
	allowedInteropImports = []string{"github.com/gorilla/websocket"} // tests of interop only
)

func layerOf(file string) int {
	for i, l := range layers {
		for _, prefix := range l.files {
			if strings.HasPrefix(file, prefix) {
				return i
			}
		}
	}
	return connLayer
}

func within(path string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

func isTest(path string) bool { return strings.HasSuffix(path, "_test.go") }

// goFiles parses every Go file below dir, whatever its build constraints, and
// leaves out nested modules, testdata and hidden directories.
func goFiles(t *testing.T, fset *token.FileSet, dir string, mode parser.Mode) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir:
			_, noModule := os.Stat(filepath.Join(path, "go.mod"))
			if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || noModule == nil {
				return fs.SkipDir
			}
		case !d.IsDir() && filepath.Ext(path) == ".go":
			files[filepath.ToSlash(path)], err = parser.ParseFile(fset, path, nil, mode)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestImports(t *testing.T) {
	for path, file := range goFiles(t, token.NewFileSet(), ".", parser.ImportsOnly) {
		allowed := slices.Clone(allowedImports)
		if isTest(path) && strings.HasPrefix(path, "interop/") {
			allowed = append(allowed, allowedInteropImports...)
		}
		var forbidden []string
		switch {
		case isTest(path):
		case !strings.Contains(path, "/"):
			forbidden = layers[layerOf(path)].noImport
		case strings.HasPrefix(path, "internal/stream/"):
			forbidden = []string{modulePath, "net/http"}
		case strings.HasPrefix(path, "cmd/"):
			allowed = nil // the commands are standard library and walve
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(name, "/")
			standard := !strings.Contains(first, ".")
			if !standard && !within(name, append(allowed, modulePath)) {
				t.Errorf("%s imports %s, which is not on the list", path, name)
			}
			if within(name, forbidden) {
				t.Errorf("%s imports %s, which its layer must not", path, name)
			}
		}
	}
}

// TestLayers holds "nothing names what is above it" inside the root package,
// where the compiler does not.
func TestLayers(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	for path, file := range goFiles(t, fset, ".", parser.SkipObjectResolution) {
		if !isTest(path) && !strings.Contains(path, "/") {
			files = append(files, file)
		}
	}
	// Who declares a name is known without the imports, and a name declared
	// once per operating system is in the same layer each time.
	info := types.Info{Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := conf.Check(modulePath, fset, files, &info)

	downward := 0
	for ident, obj := range info.Uses {
		if obj.Parent() != pkg.Scope() {
			continue
		}
		user, declarer := fset.Position(ident.Pos()), fset.Position(obj.Pos())
		switch from, to := layerOf(user.Filename), layerOf(declarer.Filename); {
		case from > to:
			downward++
		case from < to && !slices.Contains(namedFromBelow, obj.Name()):
			t.Errorf("%v names %s, which %s declares: %s is above %s",
				user, obj.Name(), declarer.Filename, layers[to].name, layers[from].name)
		}
	}
	if downward == 0 {
		t.Error("no layer names anything of a lower one: this test sees nothing")
	}
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

// goJSON runs a go command in dir that prints JSON.
func goJSON(t *testing.T, v any, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s in %s: %v", strings.Join(args, " "), dir, err)
	}
	if err := json.Unmarshal(out, v); err != nil {
		t.Fatal(err)
	}
}

type goMod struct {
	Require []struct {
		Path     string
		Indirect bool
	}
	Replace []struct{ Old, New struct{ Path string } }
}

func TestRequirements(t *testing.T) {
	var mod goMod
	goJSON(t, &mod, ".", "mod", "edit", "-json")
	for _, r := range mod.Require {
		if !r.Indirect && !slices.Contains(slices.Concat(allowedImports, allowedInteropImports), r.Path) {
			t.Errorf("go.mod requires %s, which is not on the list", r.Path)
		}
	}
}

// TestNestedModules holds that every nested module builds with the workspace
// and without it.
func TestNestedModules(t *testing.T) {
	var work struct{ Use []struct{ DiskPath string } }
	goJSON(t, &work, ".", "work", "edit", "-json", "go.work") // also with GOWORK=off
	used := map[string]bool{}
	for _, u := range work.Use {
		used[filepath.Clean(filepath.FromSlash(u.DiskPath))] = true
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.Name() != "go.mod" {
			return nil
		}
		dir := filepath.Dir(path)
		if !used[dir] {
			t.Errorf("go.work does not use %s", dir)
		}
		if dir == "." {
			return nil
		}
		var mod goMod
		goJSON(t, &mod, dir, "mod", "edit", "-json")
		for _, r := range mod.Replace {
			if r.Old.Path == modulePath && filepath.Join(dir, filepath.FromSlash(r.New.Path)) == "." {
				return nil
			}
		}
		t.Errorf("%s does not replace %s by the root of this repository", path, modulePath)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
