'
} | gzip -c | base64
echo "eks-netcheck end $?"
