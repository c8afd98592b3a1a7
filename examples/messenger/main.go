// The messenger example has rooms in which people see each other, write, and
// show pictures that arrive while they are still being sent:
//
//	go run ./examples/messenger
//
// Several of them make one messenger if they share a NATS server:
//
//	go run ./examples/messenger -nats nats://127.0.0.1:4222 -addr 127.0.0.1:8081 -store a.db
//	go run ./examples/messenger -nats nats://127.0.0.1:4222 -addr 127.0.0.1:8082 -store b.db
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/bus"
	"github.com/bodokaiser/walve/examples/internal/page"
	"github.com/bodokaiser/walve/examples/internal/program"
)

//go:embed static
var static embed.FS

func main() { program.Main("messenger", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("messenger", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "serve the page at this `address`")
	natsURL := flags.String("nats", "", "`URL` of the NATS servers to share rooms over (default: one of its own)")
	path := flags.String("store", "", "`file` for the history (default: walve-messenger.db among the user's caches)")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	if *path == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w; see -store", err)
		}
		*path = filepath.Join(dir, "walve-messenger.db")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	st, err := openStore(*path)
	if err != nil {
		return err
	}
	defer st.close()
	nc, stop, err := bus.Connect(*natsURL)
	if err != nil {
		return err
	}
	defer stop() // before the store is closed: it gets all that was said
	if err := st.record(nc); err != nil {
		return err
	}

	mux := page.Mux(static)
	mux.HandleFunc("/image/{id}", st.serveImage)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		room, name := r.FormValue("room"), r.FormValue("name")
		if !valid(room) || !valid(name) {
			http.Error(w, "room and name have 1 to 32 characters", http.StatusBadRequest)
			return
		}
		c, err := walve.Upgrade(w, r)
		if err != nil {
			return // Upgrade has answered the request
		}
		defer context.AfterFunc(r.Context(), func() { c.CloseWithStatus(walve.StatusGoingAway, "") })()
		defer c.Close()
		newMember(c, nc, st, room, name).serve()
	})
	return page.Serve(ctx, out, *addr, mux)
}
