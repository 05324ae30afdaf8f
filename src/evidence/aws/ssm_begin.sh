# Prints the TCP sockets that show how this node reaches its API server: those of kubelet
# and kube-proxy, and those of any process to port 443 or at port 10250. The others are
# counted. It has no parameters and changes nothing.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin

missing=
for program in ss awk gzip base64; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
if [ -n "$missing" ]; then
    echo "eks-netcheck missing$missing"
    exit 0
fi

proxy=no
for file in /proc/[0-9]*/comm; do
    name=
    { read -r name <"$file"; } 2>/dev/null
    if [ "$name" = kube-proxy ]; then proxy=yes; break; fi
done

# The host name alone of the kubeconfig, which names the API server.
server=
for file in /var/lib/kubelet/kubeconfig /etc/kubernetes/kubelet.conf; do
    if [ -z "$server" ] && [ -r "$file" ]; then
        server=$(awk '$1 == "server:" && $2 ~ /https:\/\/[A-Za-z0-9]/ {
            sub(/^.*https:\/\//, ""); sub(/[^A-Za-z0-9.-].*$/, ""); print; exit }' "$file")
    fi
done

limit=
if command -v timeout >/dev/null 2>&1; then limit="timeout 10"; fi

echo "eks-netcheck begin 1"
{
    echo "# eks-netcheck filtered 1"
    if [ -n "$server" ]; then
        answer=$($limit getent ahosts "$server" </dev/null 2>/dev/null)
        status=$?
        echo "# eks-netcheck server $server"
        if [ -n "$answer" ]; then printf '%s\n' "$answer" | sed 's/^/# eks-netcheck dns /'; fi
        echo "# eks-netcheck resolved $status"
    fi
    { ss -tnp </dev/null; echo "eks-netcheck status $?"; } | awk -v proxy="$proxy" '
