// The stream example streams a file into its page, which shows it while it
// arrives, both in constant memory (see internal/filestream):
//
//	go run ./examples/stream picture.png
//
// Without a file it makes a picture, or a sound, of the size asked for:
//
//	go run ./examples/stream -generate wav
//	go run ./examples/stream -size 100
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/filestream"
	"github.com/bodokaiser/walve/examples/internal/page"
	"github.com/bodokaiser/walve/examples/internal/program"
	"github.com/bodokaiser/walve/examples/internal/sample"
)

//go:embed static
var static embed.FS

func main() { program.Main("stream", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("stream", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "serve the page at this `address`")
	kind := flags.String("generate", "png", "what to make without a file: png or wav")
	size := flags.Int64("size", 8, "size in `MiB` of what is made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	path := flags.Arg(0)
	if path == "" {
		dir, err := os.MkdirTemp("", "walve-stream")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if path, err = sample.Create(dir, *kind, *size<<20); err != nil {
			return err
		}
	} else if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	mux := page.Mux(static)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		from, err := filestream.From(r)
		if err != nil {
			http.Error(w, "from: not an offset", http.StatusBadRequest)
			return
		}
		c, err := walve.Upgrade(w, r)
		if err != nil {
			return // Upgrade has answered the request
		}
		defer context.AfterFunc(r.Context(), func() { c.CloseWithStatus(walve.StatusGoingAway, "") })()
		defer c.Close()
		filestream.Send(c, path, from)
	})
	return page.Serve(ctx, out, *addr, mux)
}
