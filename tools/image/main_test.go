package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var (
	root     = filepath.Join("..", "..")
	platform = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	created  = time.Unix(1_700_000_000, 0).UTC()
)

// built is the image of this machine's platform, made once for all tests.
var built = sync.OnceValues(func() (variant, error) {
	return build(context.Background(), options{root: root, version: "1.2.3"}, platform, created)
})

func theImage(t *testing.T) variant {
	t.Helper()
	v, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestImage_IsTheSameFromAnotherFolder(t *testing.T) {
	here := theImage(t)
	elsewhere := t.TempDir()
	for _, part := range []string{"go.work", "go.work.sum", "pkg", "proto", "services"} {
		if out, err := exec.Command("cp", "-R", filepath.Join(root, part), elsewhere).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", part, err, out)
		}
	}
	there := must[variant](t)(build(t.Context(), options{root: elsewhere, version: "1.2.3"}, platform, created))
	first := must[v1.Hash](t)(indexOf([]variant{here}).Digest())
	second := must[v1.Hash](t)(indexOf([]variant{there}).Digest())
	if first != second {
		t.Errorf("the image is %s here and %s from another folder", first, second)
	}
	if here.attached.descriptor.Digest != there.attached.descriptor.Digest {
		t.Error("the bills of materials differ")
	}
}

func TestImage_HoldsTheBinaryAndLittleElse(t *testing.T) {
	v := theImage(t)
	config := must[*v1.ConfigFile](t)(v.image.ConfigFile())
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/usr/local/bin/pcnfunding"}) || config.Config.Cmd != nil {
		t.Errorf("it runs %v as %s", config.Config.Entrypoint, config.Config.User)
	}
	if !config.Created.Equal(created) {
		t.Errorf("it was created at %s", config.Created)
	}
	got := make(map[string]int64)
	archive := tar.NewReader(mutate.Extract(v.image))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s is of %s", header.Name, header.ModTime)
		}
		if header.Typeflag == tar.TypeReg {
			got["/"+header.Name] = header.Mode
		}
	}
	want := map[string]int64{
		"/etc/group": 0o644, "/etc/passwd": 0o644, "/etc/ssl/certs/ca-certificates.crt": 0o644, "/usr/local/bin/pcnfunding": 0o755,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("its files are %v, wanted are %v", got, want)
	}
}

// TestImage_ListsEveryModule holds the bill of materials to what the Go command reads in the binary.
func TestImage_ListsEveryModule(t *testing.T) {
	v := theImage(t)
	binary := filepath.Join(unpack(t, v.image), binaryPath)
	out := must[[]byte](t)(exec.Command("go", "version", "-m", binary).Output())
	content := must[[]byte](t)(encode(v.bom))
	var read cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(strings.NewReader(string(content)), cyclonedx.BOMFileFormatJSON).Decode(&read); err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]string)
	for _, c := range *read.Components {
		listed[c.Name] = c.Version
	}
	modules := 0
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[0] != "dep" {
			continue
		}
		modules++
		want := fields[2]
		if want == "(devel)" {
			want = "1.2.3"
		}
		if listed[fields[1]] != want {
			t.Errorf("%s is listed as %q and is %s", fields[1], listed[fields[1]], want)
		}
	}
	if modules < 50 || modules+1 != len(listed) {
		t.Errorf("%d modules are in the binary, %d things are listed", modules, len(listed))
	}
	if "go"+listed["std"] != runtime.Version() {
		t.Errorf("the standard library is listed as %q", listed["std"])
	}
}

func TestImage_IsALayoutWithReferrersAndCanBePushed(t *testing.T) {
	v := theImage(t)
	index := indexOf([]variant{v})
	dir := filepath.Join(t.TempDir(), "out")
	if err := write(dir, "1.2.3", index, []variant{v}); err != nil {
		t.Fatal(err)
	}
	stored := must[v1.ImageIndex](t)(layout.ImageIndexFromPath(filepath.Join(dir, "layout")))
	listed := must[*v1.IndexManifest](t)(stored.IndexManifest())
	if len(listed.Manifests) != 2 || listed.Manifests[1].ArtifactType != bomType {
		t.Fatalf("the layout lists %v", listed.Manifests)
	}
	if err := validate.Index(must[v1.ImageIndex](t)(stored.ImageIndex(listed.Manifests[0].Digest))); err != nil {
		t.Error(err)
	}
	hub := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer hub.Close()
	reference := strings.TrimPrefix(hub.URL, "http://") + "/suite/pcnfunding:1.2.3"
	if err := push(t.Context(), reference, index, []variant{v}); err != nil {
		t.Fatal(err)
	}
	ref := must[name.Reference](t)(name.ParseReference(reference))
	pulled := must[*remote.Descriptor](t)(remote.Get(ref))
	if pulled.Digest != must[v1.Hash](t)(index.Digest()) {
		t.Error("the registry holds another image")
	}
	image := must[v1.Hash](t)(v.image.Digest())
	referrers := must[v1.ImageIndex](t)(remote.Referrers(ref.Context().Digest(image.String())))
	found := must[*v1.IndexManifest](t)(referrers.IndexManifest())
	if len(found.Manifests) != 1 || found.Manifests[0].Digest != v.attached.descriptor.Digest {
		t.Errorf("the registry lists %v as referrers", found.Manifests)
	}
}

// unpack writes the files of an image to a folder, which root is given as the image has them.
func unpack(t *testing.T, image v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(mutate.Extract(image))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+header.Name))
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, must[[]byte](t)(io.ReadAll(archive)), 0o600)
		}
		if err == nil {
			err = os.Chmod(path, header.FileInfo().Mode())
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(path, header.Uid, header.Gid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// inside returns a command in the unpacked image: as its user, with nothing to see but the image and nothing to write to but the
// data folder and /tmp. Without the rights for that it runs where it lies.
func inside(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	const enter = `set -e
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount -t tmpfs -o uid=65532,gid=65532,mode=0700 data "$0/var/lib/pcnfunding"
mount -t tmpfs -o mode=1777 tmp "$0/tmp"
exec chroot --userspec=65532:65532 "$0" /usr/local/bin/pcnfunding "$@"`
	var cmd *exec.Cmd
	if os.Geteuid() == 0 && exec.Command("unshare", "--mount", "true").Run() == nil {
		cmd = exec.Command("unshare", append([]string{"--mount", "sh", "-c", enter, dir}, args...)...)
		cmd.Env = []string{"PCN_DATA_DIR=" + dataPath, "PATH=" + os.Getenv("PATH")}
	} else {
		t.Log("not as root: the image is run where it lies, without its own root folder")
		cmd = exec.Command(filepath.Join(dir, binaryPath), args...)
		cmd.Env = []string{"PCN_DATA_DIR=" + t.TempDir()}
	}
	return cmd
}

func TestImage_ServesOnAReadOnlyRoot(t *testing.T) {
	dir := unpack(t, theImage(t).image)
	version := must[[]byte](t)(inside(t, dir, "version").CombinedOutput())
	if !strings.HasPrefix(string(version), "pcnfunding 1.2.3 ") {
		t.Errorf("it calls itself %s", version)
	}
	suite := inside(t, dir, "serve", "all", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--nats-listen", "")
	var said strings.Builder
	suite.Stderr = &said
	printed := must[io.ReadCloser](t)(suite.StdoutPipe())
	if err := suite.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(printed)
	base := ""
	for base == "" && lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "REST" {
			base = strings.TrimSuffix(fields[1], "/v1")
		}
	}
	if base == "" {
		t.Fatalf("it did not start: %s", said.String())
	}
	if status, body := get(t, base+"/readyz", ""); status != http.StatusOK {
		t.Errorf("it is not ready: %d: %s", status, body)
	}
	if err := suite.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, printed)
	if err := suite.Wait(); err != nil {
		t.Errorf("it did not stop in good order: %v: %s", err, said.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "bin", "sh")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("there is a shell")
	}
}

// get returns the status and the body of an answer; an empty token sends none.
func get(t *testing.T, address, token string) (status int, body string) {
	t.Helper()
	request := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode, string(must[[]byte](t)(io.ReadAll(answer.Body)))
}
